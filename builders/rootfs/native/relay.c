/* relay PORT COMMAND: the lines between the host and COMMAND, the restore agent.

The host orders over the serial line or, where production turns that off, over vsock: it connects to PORT. COMMAND reads
the orders of both from its standard input. What it prints, and what others write to /run/hornetos/answers, goes to
both. A clone's host connects anew: a connection does not outlive a restore, the listening socket does.

No C library: it must run beside any. It ends when COMMAND no longer reads. */
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "syscalls.h"

#define ANSWERS "/run/hornetos/answers"
#define CHUNK_BYTES 4096

enum { CONSOLE, LISTENER, HOST, PRINTED, SOURCES };

static struct pollfd sources[SOURCES];
static char chunk[CHUNK_BYTES];

static void start_command(const char *path, long orders, long answers, char **environment) {
    const char *arguments[] = {path, NULL};
    if (system_call(SYS_fork, 0, 0, 0) != 0)
        return;
    system_call(SYS_dup2, orders, 0, 0);
    system_call(SYS_dup2, answers, 1, 0);
    system_call(SYS_dup2, answers, 2, 0);
    system_call(SYS_execve, (long)path, (long)arguments, (long)environment);
    system_call(SYS_exit, 1, 0, 0);
}

/* Negative, which poll(2) ignores, in a kernel or a VM without vsock. */
static long listen_on(const char *port) {
    struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY};
    for (; *port >= '0' && *port <= '9'; port++)
        address.svm_port = address.svm_port * 10 + (unsigned int)(*port - '0');
    long listener = system_call(SYS_socket, AF_VSOCK, SOCK_STREAM, 0);
    if (system_call(SYS_bind, listener, (long)&address, sizeof address) < 0 ||
        system_call(SYS_listen, listener, 1, 0) < 0)
        return -1;
    return listener;
}

static void hang_up(struct pollfd *source) {
    system_call(SYS_close, source->fd, 0, 0);
    source->fd = -1;
}

/* A new connection takes the place of the one before, whose host may have gone without a word. */
static void accept_host(void) {
    struct sockaddr_vm peer = {0};
    unsigned int peer_bytes = sizeof peer;
    long host = system_call(SYS_accept, sources[LISTENER].fd, (long)&peer, (long)&peer_bytes);
    if (host < 0)
        return;
    /* A kernel with vsock_loopback lets every process of the guest connect too. */
    if (peer.svm_cid != VMADDR_CID_HOST) {
        system_call(SYS_close, host, 0, 0);
        return;
    }
    if (sources[HOST].fd >= 0)
        hang_up(&sources[HOST]);
    sources[HOST].fd = (int)host;
    sources[HOST].revents = 0;
}

static void pass_order(struct pollfd *source, long orders) {
    long count = system_call(SYS_read, source->fd, (long)chunk, CHUNK_BYTES);
    if (count <= 0)
        hang_up(source);
    else
        system_call(SYS_write, orders, (long)chunk, count);
}

static void pass_answer(void) {
    long count = system_call(SYS_read, sources[PRINTED].fd, (long)chunk, CHUNK_BYTES);
    if (count <= 0)
        return;
    if (sources[CONSOLE].fd >= 0)
        system_call(SYS_write, sources[CONSOLE].fd, (long)chunk, count);
    if (sources[HOST].fd >= 0)
        system_call5(SYS_sendto, sources[HOST].fd, (long)chunk, count, MSG_DONTWAIT | MSG_NOSIGNAL, 0);
}

static void relay(const char *port, const char *command, char **environment) {
    int orders[2];
    /* Closed in COMMAND, which would otherwise never see that the relay has ended. */
    system_call(SYS_pipe2, (long)orders, O_CLOEXEC, 0);
    system_call(SYS_mknod, (long)ANSWERS, S_IFIFO | 0600, 0);
    long answers = system_call(SYS_open, (long)ANSWERS, O_RDWR, 0);
    start_command(command, orders[0], answers, environment);
    system_call(SYS_close, orders[0], 0, 0);
    long fds[SOURCES] = {system_call(SYS_open, (long)"/dev/console", O_RDWR | O_NOCTTY, 0), listen_on(port), -1, answers};
    for (int i = 0; i < SOURCES; i++)
        sources[i] = (struct pollfd){.fd = fds[i] < 0 ? -1 : (int)fds[i], .events = POLLIN};
    for (;;) {
        system_call(SYS_poll, (long)sources, SOURCES, -1);
        if (sources[PRINTED].revents)
            pass_answer();
        if (sources[CONSOLE].revents)
            pass_order(&sources[CONSOLE], orders[1]);
        if (sources[HOST].revents)
            pass_order(&sources[HOST], orders[1]);
        if (sources[LISTENER].revents)
            accept_host();
    }
}

/* The kernel starts a program with the number of arguments, their addresses and those of the environment on the stack. */
__attribute__((used)) static void start(long *stack) {
    char **argument = (char **)(stack + 1);
    if (stack[0] == 3)
        relay(argument[1], argument[2], argument + 4);
    system_call(SYS_exit, 1, 0, 0);
}
__asm__(".globl _start\n_start: xor %ebp, %ebp\n mov %rsp, %rdi\n and $-16, %rsp\n call start\n");
