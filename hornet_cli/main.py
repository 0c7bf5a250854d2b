"""Runs one command and ends the process with its exit code. An error is one message on standard error.

Exit codes: 0 success; 1 the command reached a verdict, and it is a failure; 2 no verdict, or the work was not done
(wrong usage, a missing tool, an unreadable file, a bug of the suite …); 130, 143, 129 ended by SIGINT, SIGTERM, SIGHUP;
141 the reader of standard output closed the pipe.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

from hornet.host.checkout_owner import give_to_owner
from hornet.host.interrupts import end_on_signals, ended_by, last_line, listen_no_more
from hornet.host.workspace import Workspace
from hornet_cli.failures import FAILURES
from hornet_cli.terminal import check_output, protect_streams

NOT_DONE = 2
BY_SIGNAL = 128


def main() -> None:
    """Run `hornetos` with the arguments of the command line, and end the process."""
    code, interrupted = NOT_DONE, None
    try:
        protect_streams()
        FAILURES.watch()
        end_on_signals()
        try:
            code = run(sys.argv[1:])
        finally:
            _give_to_owner()
            listen_no_more()
    except KeyboardInterrupt:
        interrupted = signal.SIGINT
    except Exception:  # reporting the failure failed too
        pass
    # The signal decides, not the exception: an error during clean-up may have replaced the KeyboardInterrupt.
    if number := ended_by() or interrupted:
        with suppress(OSError):
            print(last_line(number), file=sys.stderr)
        code = BY_SIGNAL + number
    sys.exit(code)


def run(words: Sequence[str]) -> int:
    """Run a command and return its exit code. Only the command itself returns 1; any exception gives 2."""
    try:
        code = _invoke(words)
        check_output()
    except Exception as error:
        FAILURES.report(error)
        return NOT_DONE
    # If a thread failed, its part of the work may be missing from the verdict.
    return NOT_DONE if FAILURES.in_threads else code


def _give_to_owner() -> None:
    try:
        give_to_owner(Workspace.from_env())
    except Exception as error:  # the command's own verdict stands
        FAILURES.report(error)


def _invoke(words: Sequence[str]) -> int:
    """Run the typer app without typer's own main(), which exits with 1 for any broken pipe and for an end of file."""
    import typer

    # Imported here, so that a broken installation is reported like any other error.
    from hornet_cli.app import app

    usage_error: type[Exception] = typer.BadParameter.__mro__[1]
    command = typer.main.get_command(app)
    # A shell requests completions with this variable. click handles it only in its own main().
    command._main_shell_completion({}, "hornetos")
    try:
        with command.make_context("hornetos", list(words)) as context:
            command.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    except usage_error as error:
        error.show()  # type: ignore[attr-defined]  # click's UsageError has it
        return NOT_DONE
    return 0
