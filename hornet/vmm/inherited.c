/* Preloaded into a VMM: opens files by name whose descriptors the VMM inherited, whatever the flags.
 *
 * HORNET_FD_<number>=<path> in the environment names such a file. QEMU opens guest memory, kernel and /dev/kvm by path,
 * but the user that it runs as has no permission to open them. So it gets a duplicate of the descriptor that its parent
 * opened, with the parent's access mode. Guest memory that was opened read-only can be mapped private, never written.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int inherited(const char *path)
{
    for (char **entry = environ; *entry; entry++) {
        int fd, end = 0;

        if (sscanf(*entry, "HORNET_FD_%d=%n", &fd, &end) == 1 && end && !strcmp(*entry + end, path))
            return fd;
    }
    return -1;
}

static int duplicate(int fd)
{
    /* Duplicates share their offset, so rewind for each reader. (A device has no offset.) */
    lseek(fd, 0, SEEK_SET);
    return fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

int open64(const char *path, int flags, ...)
{
    int fd = inherited(path);
    mode_t mode = 0;

    if (fd >= 0)
        return duplicate(fd);
    if (__OPEN_NEEDS_MODE(flags)) {
        va_list arguments;

        va_start(arguments, flags);
        mode = va_arg(arguments, mode_t);
        va_end(arguments);
    }
    return syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

/* open64 in programs compiled with _FORTIFY_SOURCE. */
int __open64_2(const char *path, int flags)
{
    return open64(path, flags);
}

FILE *fopen64(const char *path, const char *mode)
{
    FILE *(*next)(const char *, const char *) = dlsym(RTLD_NEXT, "fopen64");
    int fd = inherited(path);

    return fd >= 0 ? fdopen(duplicate(fd), mode) : next(path, mode);
}

/* QEMU frees a page that a guest's balloon took in two steps: it punches a hole in the mapped file, then drops its private
 * copy. A file that others map too has nothing to free, and QEMU takes the second step only if the first succeeds. */
int fallocate64(int fd, int mode, off64_t offset, off64_t length)
{
    if (mode & FALLOC_FL_PUNCH_HOLE && (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY)
        return 0;
    return syscall(SYS_fallocate, fd, mode, offset, length);
}

/* The names in programs compiled without _FILE_OFFSET_BITS=64. */
int open(const char *path, int flags, ...) __attribute__((alias("open64")));
int __open_2(const char *path, int flags) __attribute__((alias("__open64_2")));
FILE *fopen(const char *path, const char *mode) __attribute__((alias("fopen64")));
int fallocate(int fd, int mode, off_t offset, off_t length) __attribute__((alias("fallocate64")));
