/* Does what `iptables -t nat -A POSTROUTING -j MASQUERADE` does, in its network namespace. Images have no iptables, but
 * their kernel must support NAT. Exit code 0: the rule was added; 1: no table `nat`; 2: the kernel rejected the rule.
 * The layout is from linux/netfilter_ipv4/ip_tables.h: consecutive entries, each with its target. */
#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include "call.h"

/* The verdict of a chain's policy, stored as -verdict - 1. */
enum { ACCEPT = -NF_ACCEPT - 1 };

struct policy {
    struct ipt_entry entry;
    struct xt_standard_target target;
};

struct masquerade {
    struct ipt_entry entry;
    struct xt_entry_target target;
    struct nf_nat_ipv4_multi_range_compat range __attribute__((aligned(8)));
};

struct end {
    struct ipt_entry entry;
    struct xt_error_target target __attribute__((aligned(8)));
};

#define ENTRY(type) { .target_offset = sizeof(struct ipt_entry), .next_offset = sizeof(struct type) }
#define POLICY { ENTRY(policy), { .target = { .u.user.target_size = sizeof(struct xt_standard_target) }, .verdict = ACCEPT } }

static struct {
    struct ipt_replace head;
    struct policy prerouting, input, output;
    struct masquerade rule;
    struct policy postrouting;
    struct end end;
} table = {
    .head = { .name = "nat" },
    .prerouting = POLICY,
    .input = POLICY,
    .output = POLICY,
    .rule = {
        .entry = ENTRY(masquerade),
        .target.u.user = { .target_size = sizeof(struct masquerade) - sizeof(struct ipt_entry), .name = "MASQUERADE" },
        .range.rangesize = 1,
    },
    .postrouting = POLICY,
    .end = {
        .entry = ENTRY(end),
        .target = { .target.u.user = { .target_size = sizeof(struct xt_error_target), .name = XT_ERROR_TARGET },
                    .errorname = "ERROR" },
    },
};

static struct ipt_getinfo old = { .name = "nat" };
static struct xt_counters counters[64];

#define OFFSET(member) (offsetof(__typeof__(table), member) - sizeof(struct ipt_replace))

void _start(void)
{
    unsigned int size = sizeof old;
    long socket = call(SYS_socket, AF_INET, SOCK_RAW, IPPROTO_RAW, 0, 0);

    if (call(SYS_getsockopt, socket, IPPROTO_IP, IPT_SO_GET_INFO, (long)&old, (long)&size))
        leave(1);
    table.head.valid_hooks = old.valid_hooks;
    table.head.num_entries = 6;
    table.head.size = sizeof table - sizeof table.head;
    table.head.hook_entry[NF_INET_PRE_ROUTING] = table.head.underflow[NF_INET_PRE_ROUTING] = OFFSET(prerouting);
    table.head.hook_entry[NF_INET_LOCAL_IN] = table.head.underflow[NF_INET_LOCAL_IN] = OFFSET(input);
    table.head.hook_entry[NF_INET_LOCAL_OUT] = table.head.underflow[NF_INET_LOCAL_OUT] = OFFSET(output);
    table.head.hook_entry[NF_INET_POST_ROUTING] = OFFSET(rule);
    table.head.underflow[NF_INET_POST_ROUTING] = OFFSET(postrouting);
    table.head.num_counters = old.num_entries;
    table.head.counters = counters;
    leave(call(SYS_setsockopt, socket, IPPROTO_IP, IPT_SO_SET_REPLACE, (long)&table, sizeof table) ? 2 : 0);
}
