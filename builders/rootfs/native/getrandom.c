/* An OpenSSL provider (provider-base(7)) whose random bytes come from the kernel, each time anew.

OpenSSL's own generator keeps its state in the process. A process that a snapshot holds would go on with the same
state in every clone, and draw the same keys; the kernel's generator is reseeded after a restore.
No C library: it must load beside any. */
#include <stddef.h>
#include <sys/syscall.h>

#include "syscalls.h"

#define EINTR 4

/* openssl/core_dispatch.h */
#define FUNC_PROVIDER_QUERY_OPERATION 1027
#define FUNC_PROVIDER_RANDOM_BYTES 1032

struct dispatch {
    int id;
    void (*function)(void);
};

static int random_bytes(void *context, int which, unsigned char *buffer, size_t size, unsigned int strength) {
    while (size > 0) {
        long got = system_call(SYS_getrandom, (long)buffer, (long)size, 0);
        if (got == -EINTR)
            continue;
        if (got <= 0)
            return 0;
        buffer += got;
        size -= (size_t)got;
    }
    return 1;
}

static const void *no_algorithms(void *context, int operation, int *no_cache) {
    *no_cache = 0;
    return 0;
}

static const struct dispatch functions[] = {
    {FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))no_algorithms},
    {FUNC_PROVIDER_RANDOM_BYTES, (void (*)(void))random_bytes},
    {0, 0},
};

int OSSL_provider_init(const void *handle, const struct dispatch *in, const struct dispatch **out, void **context) {
    *context = (void *)handle;
    *out = functions;
    return 1;
}
