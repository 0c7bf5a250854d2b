/* What a program needs that runs as process 1 before the image's own init. It says what goes wrong in the kernel's log,
and so on the console. When process 1 ends, the kernel panics. No C library: it runs before there is one. */
#include <stddef.h>
#include <sys/syscall.h>

#include "syscalls.h"

#define O_RDONLY 0
#define O_WRONLY 1
#define ENODEV 19
#define EINVAL 22
#define MNT_DETACH 2
/* The kernel's log level 3: errors, which a quiet boot prints too. */
#define PREFIX "<3>hornetos: "

static void say(const char *what, const char *why) {
    char line[256];
    size_t used = 0;
    const char *parts[] = {PREFIX, what, why, "\n"};
    for (int i = 0; i < 4; i++)
        for (const char *next = parts[i]; *next && used < sizeof line; next++)
            line[used++] = *next;
    long log = system_call(SYS_open, (long)"/dev/kmsg", O_WRONLY, 0);
    system_call(SYS_write, log < 0 ? 2 : log, (long)line, (long)used);
    if (log >= 0)
        system_call(SYS_close, log, 0, 0);
}

static void give_up(const char *what, const char *why) {
    say(what, why);
    system_call(SYS_exit, 1, 0, 0);
}

static void require(long result, const char *what) {
    if (result < 0)
        give_up(what, result == -ENODEV   ? ": not in this kernel"
                      : result == -EINVAL ? ": truncated, or not of that kind"
                                          : ": system call failed");
}

static long mount(const char *source, const char *target, const char *type, long flags, const char *options) {
    return system_call5(SYS_mount, (long)source, (long)target, (long)type, flags, (long)options);
}

/* The kernel starts a program with the number of arguments, their addresses and those of the environment on the stack.
The next program gets the same. */
static void become(const char *program, long *stack) {
    long *environment = stack + 1 + stack[0] + 1;
    system_call(SYS_execve, (long)program, (long)(stack + 1), (long)environment);
    give_up("cannot execute ", program);
}

/* What the program does; stack: as the kernel left it. */
static void begin(long *stack);

__attribute__((used)) static void start(long *stack) {
    begin(stack);
}
__asm__(".globl _start\n_start: xor %ebp, %ebp\n mov %rsp, %rdi\n and $-16, %rsp\n call start\n");
