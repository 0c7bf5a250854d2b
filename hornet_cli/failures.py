"""Reports errors: one sentence for the user, the traceback in a log."""

from __future__ import annotations

import errno
import logging
import os
import shlex
import sys
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path

from hornet.errors import HornetError, HostError
from hornet.host.workspace import Workspace
from hornet.installation import PACKAGES, SOURCE
from hornet.text import one_line, printable

LOGS_DIRECTORY = "logs"
WRITABLE = "set HORNET_HOME to another directory"
HINTS = {
    errno.EROFS: f"make the file system writable, or {WRITABLE}",
    errno.ENOSPC: f"free space there, or {WRITABLE}",
    errno.EDQUOT: f"free space there, or {WRITABLE}",
    errno.EACCES: "change its permissions, or run the command with sudo",
    errno.EPERM: "change its permissions, or run the command with sudo",
    errno.ENOENT: "check its name",
    errno.ENOTDIR: f"a part of the path is a file: check its name, or {WRITABLE}",
    errno.EISDIR: "it is a directory: name a file",
    errno.ENAMETOOLONG: "use a shorter path",
    errno.ELOOP: "its symbolic links form a loop: remove one",
    errno.EIO: "the disk could not be read or written: look at the kernel's log (dmesg)",
    errno.EMFILE: "raise the limit of open files: ulimit -n",
    errno.ENFILE: "the machine has too many open files: end other programs",
    errno.ENOMEM: "free memory, or end other programs, then run it again",
}


class Failures:
    """The failures of this process. debug: also show tracebacks and the libraries' log messages on the terminal."""

    def __init__(self) -> None:
        self.debug = False
        self.in_threads = 0

    def watch(self) -> None:
        """Report errors of threads and log those of finalizers. Keep tracebacks of libraries off the terminal."""
        threading.excepthook = self._in_thread
        sys.unraisablehook = self._unraisable
        # Without a handler Python prints the libraries' log messages; paramiko's contain tracebacks.
        logging.getLogger().addHandler(logging.NullHandler())

    def show_everything(self) -> None:
        """Enable --debug."""
        self.debug = True
        logging.basicConfig(level=logging.INFO, force=True)

    def report(self, error: BaseException, where: str = "") -> None:
        """Print the error and the next step on standard error."""
        shown = explain(error)
        hint = shown.hint
        trace = "".join(traceback.format_exception(error))
        if not isinstance(error, HornetError):
            log = _write_log(trace)
            kept = f"the traceback is in {log}" if log else "run `hornetos --debug …` to see the traceback"
            hint = f"{hint}; {kept}" if hint else kept
        place = f"in {where}: " if where else ""
        with suppress(OSError):  # standard error is closed: only the exit code reports the failure
            print(f"{trace if self.debug else ''}hornetos: {place}{HornetError(shown.message, hint)}", file=sys.stderr)

    def _in_thread(self, failed: threading.ExceptHookArgs) -> None:
        if failed.exc_value is None or isinstance(failed.exc_value, SystemExit | KeyboardInterrupt):
            return
        self.in_threads += 1
        self.report(failed.exc_value, f"thread {failed.thread.name if failed.thread else '?'}")

    def _unraisable(self, failed: sys.UnraisableHookArgs) -> None:
        """Log an error of a finalizer or of a clean-up at exit. The verdict does not depend on it."""
        if failed.exc_value is not None and not isinstance(failed.exc_value, KeyboardInterrupt):
            trace = "".join(traceback.format_exception(failed.exc_value))
            _write_log(trace)
            if self.debug:
                print(trace, file=sys.stderr)


FAILURES = Failures()


def explain(error: BaseException) -> HornetError:
    """Turn any exception into an error that a user can act on: the thing, the problem, the next step."""
    if isinstance(error, HornetError):
        return error
    if isinstance(error, OSError) and error.errno is not None:
        named = " and ".join(
            os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)
        )
        thing = one_line(named) if named else _place(error)
        return HostError(f"{thing}: {error.strerror}", HINTS.get(error.errno, ""))
    if isinstance(error, RuntimeError) and str(error).startswith("Symlink loop"):  # Path.resolve()
        return HostError(one_line(str(error)), HINTS[errno.ELOOP])
    if isinstance(error, MemoryError):
        return HostError(f"{_place(error)}: out of memory", HINTS[errno.ENOMEM])
    said = one_line(str(error)) or "no reason given"
    return HornetError(
        f"{_place(error)}: unexpected {type(error).__name__}: {said}; nothing was judged",
        "this is a bug of the suite or of its installation, please report it",
    )


def _place(error: BaseException) -> str:
    """The place in the project that raised an exception: file and line of the innermost frame of the project."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if any(Path(frame.filename).is_relative_to(SOURCE / name) for name in PACKAGES)]
    if not own:
        return "hornetos"
    return f"{Path(own[-1].filename).relative_to(SOURCE)}, line {own[-1].lineno}"


def _write_log(trace: str) -> Path | None:
    """Write a traceback to HORNET_HOME; None if that fails: the error itself must still be reported."""
    try:
        directory = Workspace.from_env().directory(LOGS_DIRECTORY)
        path = directory / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
        with path.open("a", encoding="utf-8", errors="backslashreplace") as log:
            log.write(printable(f"$ {shlex.join(sys.argv)}\n{trace}\n"))
    except Exception:
        return None
    return path
