/* A plugin for QEMU's TCG that counts the instructions that a guest executes, for a host that reads along.
 *
 * counter=FD names an inherited file of at least one page. Word N of it is the count of virtual CPU N. Each block of
 * translated code adds the number of its instructions when it is entered, so an interrupt or a fault inside a block
 * counts the rest of that block too. A virtual CPU writes only its own word, aligned to 8 bytes: readers need no lock.
 *
 * The few functions of QEMU's plugin interface that are used are declared here (QEMU documentation: TCG Plugins).
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE_BYTES 4096
#define ARGUMENT "counter="
#define NO_REGISTERS 0

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_info;

extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct qemu_plugin_tb *));
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, void (*)(unsigned int, void *), int, void *);
/* Only QEMU from version 9.0 on has it. */
extern void *qemu_plugin_scoreboard_new(size_t) __attribute__((weak));

/* The version of the interface. QEMU 9.0 dropped the first one; what is used here is the same in all of them. */
int qemu_plugin_version = 1;

static volatile uint64_t *counts;

static void __attribute__((constructor)) choose_version(void)
{
    if (qemu_plugin_scoreboard_new)
        qemu_plugin_version = 2;
}

static void executed(unsigned int cpu, void *instructions)
{
    if (cpu < PAGE_BYTES / sizeof *counts)
        counts[cpu] += (uintptr_t)instructions;
}

static void translated(plugin_id id, struct qemu_plugin_tb *block)
{
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_cb(block, executed, NO_REGISTERS,
                                         (void *)(uintptr_t)qemu_plugin_tb_n_insns(block));
}

int qemu_plugin_install(plugin_id id, const struct qemu_info *info, int argc, char **argv)
{
    void *page;

    (void)info;
    if (argc != 1 || strncmp(argv[0], ARGUMENT, strlen(ARGUMENT)))
        return -1;
    page = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, atoi(argv[0] + strlen(ARGUMENT)), 0);
    if (page == MAP_FAILED)
        return -1;
    counts = page;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}
