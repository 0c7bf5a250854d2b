/* A system call of x86-64 with up to five arguments; the result is negative, -errno, when it failed. */
static long system_call5(long number, long first, long second, long third, long fourth, long fifth) {
    long result;
    register long r10 __asm__("r10") = fourth;
    register long r8 __asm__("r8") = fifth;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(first), "S"(second), "d"(third), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return result;
}

static inline long system_call(long number, long first, long second, long third) {
    return system_call5(number, first, second, third, 0, 0);
}
