"""Runs one command and ends everything that the command started: `supervisor.py PARENT SCRATCH COMMAND …`.

The supervisor is the reaper of all descendants (PR_SET_CHILD_SUBREAPER): an orphaned descendant becomes its child, in
any session or process group, so none escapes. It kills them when the command ends, on SIGTERM, and when the process
PARENT, which started it, dies (PR_SET_PDEATHSIG). Its exit code is the command's.

The command has its own TMPDIR, so a killed compiler leaves nothing in /tmp.

The supervisor imports as little as possible, because each command of the host starts one.
"""

import ctypes
import os
import resource
import signal
import sys
from contextlib import suppress

# linux/prctl.h
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
NOT_FOUND = 127
CHUNK_BYTES = 1 << 16
HEARD = {signal.SIGTERM, signal.SIGCHLD}


def main() -> None:
    # Blocked until here (hornet/host/proc.py): Python would print a traceback among the words of the command.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    parent, scratch, words = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    prctl = ctypes.CDLL(None).prctl
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        return  # the parent died before PR_SET_PDEATHSIG was in effect
    make_scratch(scratch)
    command = os.fork()
    if command == 0:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        try:
            os.execvp(words[0], words)
        except OSError as error:
            os.write(2, f"{words[0]}: {error.strerror}\n".encode())
        finally:
            os._exit(NOT_FOUND)
    status = wait_for(command)
    end_descendants()
    remove_scratch(scratch)
    if os.WIFSIGNALED(status):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        ending = os.WTERMSIG(status)
        with suppress(OSError):  # SIGKILL has no handler
            signal.signal(ending, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.kill(os.getpid(), ending)
    os._exit(os.waitstatus_to_exitcode(status))


def make_scratch(path: str) -> None:
    """Create the directory for the command's temporary files, if possible."""
    try:
        os.mkdir(path)
        os.chmod(path, 0o755)  # with any umask: apt reads there as another user
        os.environ["TMPDIR"] = path
    except OSError:
        return


def remove_scratch(path: str) -> None:
    """Remove that directory, which most commands leave empty."""
    try:
        os.rmdir(path)
    except OSError:
        import shutil  # takes longer to import than everything else here

        shutil.rmtree(path, ignore_errors=True)


def wait_for(command: int) -> int:
    """The command's wait status; that of a killed command if SIGTERM arrives first."""
    while signal.sigwait(HEARD) == signal.SIGCHLD:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == command:
                return status
            if pid == 0:
                break
    return int(signal.SIGKILL)


def end_descendants() -> None:
    """Kill children until there are none: the children of a killed process become this process's own."""
    while True:
        for pid in children():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def children() -> list[int]:
    """Process ids of this process's children."""
    me = os.getpid()
    # Without pathlib, which takes as long to import as everything else here.
    fd = os.open(f"/proc/{me}/task/{me}/children", os.O_RDONLY)
    try:
        return [int(pid) for pid in b"".join(iter(lambda: os.read(fd, CHUNK_BYTES), b"")).split()]
    finally:
        os.close(fd)


if __name__ == "__main__":
    main()
