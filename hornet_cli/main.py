"""Runs one command: however it ends, its exit code is the truth, and what went wrong is one message.

Exit codes: 0 all is well; 1 the thing was judged and does not hold; 2 it could not be judged or done (wrong usage, a
missing tool, an unreadable file, a fault of the suite …); 130, 143, 129 ended by SIGINT, SIGTERM, SIGHUP; 141 nobody
reads the output any more.
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
    """Run `hornetos` with the words of the command line, and end the process."""
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
    except Exception:  # not even the report of a failure could be made
        pass
    # Whatever became of the exception: clean-up may have replaced it.
    if number := ended_by() or interrupted:
        with suppress(OSError):
            print(last_line(number), file=sys.stderr)
        code = BY_SIGNAL + number
    sys.exit(code)


def run(words: Sequence[str]) -> int:
    """Run a command and return its exit code. Only a command itself says 1; any exception is 2."""
    try:
        code = _invoke(words)
        check_output()
    except Exception as error:
        FAILURES.report(error)
        return NOT_DONE
    # What a thread could not do may be missing from the verdict.
    return NOT_DONE if FAILURES.in_threads else code


def _give_to_owner() -> None:
    try:
        give_to_owner(Workspace.from_env())
    except Exception as error:  # the command's own verdict stands
        FAILURES.report(error)


def _invoke(words: Sequence[str]) -> int:
    """Without typer's own main(), which ends with 1 for a broken pipe, whosever it is, and for an end of file."""
    import typer

    # Here, so that a broken installation is an error like any other.
    from hornet_cli.app import app

    usage_error: type[Exception] = typer.BadParameter.__mro__[1]
    command = typer.main.get_command(app)
    # A shell asks for completions by this variable; click answers in its own main() only.
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
