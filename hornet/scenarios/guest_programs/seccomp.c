/* Tests that seccomp filters work: a filter that fails getppid with error 99 is enforced, and only for getppid.
 * Exit code 0: it works; 1: no filter can be set; 2: the filter is not enforced. (seccomp(2)) */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/syscall.h>
#include "call.h"

enum { REFUSED = 99 };

static struct sock_filter rules[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | REFUSED),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};

void _start(void)
{
    struct sock_fprog program = { sizeof rules / sizeof rules[0], rules };

    if (call(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        call(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, (long)&program, 0, 0))
        leave(1);
    leave(call(SYS_getppid, 0, 0, 0, 0, 0) == -REFUSED && call(SYS_getpid, 0, 0, 0, 0, 0) > 0 ? 0 : 2);
}
