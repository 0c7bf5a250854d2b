/* refresh [SECONDS.NANOSECONDS SEED]: what only a system call can refresh after a restore.
   refresh FILE: wait until the file is not empty. A shell would start `sleep` again and again, each in two million
   instructions, while what it waits for needs the processor.

Sets the wall clock and feeds SEED (hex digits) to the kernel's random number generator, then makes the kernel draw a
new key from it (random(4): RNDADDENTROPY, RNDRESEEDCRNG). The time is that of the host's clock, where KVM shows it to
the guest (/dev/ptp0): the one in the argument is as old as the way here was long. Without arguments the clock is set
only there, and the seed comes from /dev/hwrng. No C library: it must run beside any. The exit code counts the steps
that failed. */
#include <stddef.h>
#include <sys/syscall.h>

#include "syscalls.h"

#define CLOCK_REALTIME 0
#define O_RDONLY 0
#define RNDADDENTROPY 0x40085203
#define RNDRESEEDCRNG 0x5207
#define SEED_BYTES 32
/* The driver of a hardware generator hands out first what it had read before the snapshot. */
#define STALE_BYTES 1024

struct {
    int entropy_bits, size_bytes;
    unsigned char bytes[SEED_BYTES];
} pool = {SEED_BYTES * 8, SEED_BYTES, {0}};

/* Of an open device that is a clock (clock_gettime(2), "Dynamic clocks"). */
static long clock_of(long fd) {
    return (~fd << 3) | 3;
}

static int set_clock_from_host(void) {
    long now[2] = {0, 0};
    long fd = system_call(SYS_open, (long)"/dev/ptp0", O_RDONLY, 0);
    return fd < 0 || system_call(SYS_clock_gettime, clock_of(fd), (long)now, 0) < 0 ||
           system_call(SYS_clock_settime, CLOCK_REALTIME, (long)now, 0) < 0;
}

static int set_clock(const char *text) {
    long now[2] = {0, 0}, scale = 100000000;
    for (; *text >= '0' && *text <= '9'; text++)
        now[0] = now[0] * 10 + (*text - '0');
    for (text += *text == '.'; *text >= '0' && *text <= '9'; text++, scale /= 10)
        now[1] += (*text - '0') * scale;
    return now[0] == 0 || system_call(SYS_clock_settime, CLOCK_REALTIME, (long)now, 0) < 0;
}

static int nibble(char digit) {
    return digit >= 'a' ? digit - 'a' + 10 : digit - '0';
}

static int seed_from_text(const char *text) {
    for (int i = 0; i < SEED_BYTES; i++, text += 2) {
        if (!text[0] || !text[1])
            return 1;
        pool.bytes[i] = (unsigned char)(nibble(text[0]) << 4 | nibble(text[1]));
    }
    return 0;
}

static int seed_from_hardware(void) {
    long fd = system_call(SYS_open, (long)"/dev/hwrng", O_RDONLY, 0);
    for (long count = 0; count < STALE_BYTES; count += SEED_BYTES)
        if (system_call(SYS_read, fd, (long)pool.bytes, SEED_BYTES) <= 0)
            return 1;
    return 0;
}

static int reseed(void) {
    long fd = system_call(SYS_open, (long)"/dev/urandom", O_RDONLY, 0);
    return (system_call(SYS_ioctl, fd, RNDADDENTROPY, (long)&pool) < 0) +
           (system_call(SYS_ioctl, fd, RNDRESEEDCRNG, 0) < 0);
}

static int wait_for(const char *file) {
    const long pause[2] = {0, 2000000};
    char byte;
    for (;;) {
        long fd = system_call(SYS_open, (long)file, O_RDONLY, 0);
        if (system_call(SYS_read, fd, (long)&byte, 1) == 1)
            return 0;
        system_call(SYS_close, fd, 0, 0);
        system_call(SYS_nanosleep, (long)pause, 0, 0);
    }
}

static int refresh(int arguments, char **argument) {
    if (arguments == 2)
        return wait_for(argument[1]);
    int no_host_clock = set_clock_from_host();
    if (arguments == 3)
        return (no_host_clock && set_clock(argument[1])) + seed_from_text(argument[2]) + reseed();
    return seed_from_hardware() + reseed();
}

/* The kernel starts a program with the number of arguments and their addresses on the stack. */
__attribute__((used)) static void start(long *stack) {
    system_call(SYS_exit, refresh((int)stack[0], (char **)(stack + 1)), 0, 0);
}
__asm__(".globl _start\n_start: xor %ebp, %ebp\n mov %rsp, %rdi\n and $-16, %rsp\n call start\n");
