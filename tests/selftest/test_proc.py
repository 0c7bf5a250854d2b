"""Commands of the host: bounded in time and memory, whatever they print, read or leave behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hornet.errors import CommandError
from hornet.host import command_output, proc
from hornet.host.command_output import CHUNK_BYTES, Output
from hornet.host.proc import Completed, ending, is_running, run
from hornet.installation import SOURCE

TIMEOUT_S = 30
MIB = 1 << 20
# From the start of Python to the command's: 30 ms on a quiet machine.
INTERRUPTS, INTERRUPT_STEP_S = 40, 0.002


def test_zombie_process_is_not_running() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        assert is_running(process.pid)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not is_running(process.pid)
    assert not is_running(process.pid)


def sh(script: str, timeout_s: float = TIMEOUT_S, **options: Any) -> Completed:
    return run(["sh", "-c", script], timeout_s=timeout_s, **options)


def test_output_and_errors_are_one_text_and_the_exit_code_decides() -> None:
    done = run(["sh", "-c", "echo one; echo two >&2; exit 3"], timeout_s=TIMEOUT_S, ok_codes=[3])
    assert (done.output, done.exit_code) == ("one\ntwo\n", 3)
    with pytest.raises(CommandError, match=r"exit code 3\n  \| one\n  \| two$"):
        sh("echo one; echo two >&2; exit 3")


def test_interrupted_supervisor_prints_nothing(tmp_path: Path) -> None:
    """At any moment of the interrupt: only the command's own output is printed."""
    for number in range(INTERRUPTS):
        with proc._start(("sleep", "1000"), tmp_path / "scratch", None, None, False, "") as process:
            time.sleep(number * INTERRUPT_STEP_S)
            process.send_signal(signal.SIGINT)
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            os.killpg(process.pid, signal.SIGKILL)  # as run() does it
            assert process.stdout
            said = process.stdout.read().decode()
        assert not said, f"interrupted after {number * INTERRUPT_STEP_S * 1000:.0f} ms"


@pytest.mark.parametrize("job", ["sleep 1000", "yes"], ids=["silent", "printing"])
def test_a_background_job_does_not_hold_a_command_and_is_ended(job: str, tmp_path: Path) -> None:
    done = run(["sh", "-c", f"echo begun; {job} & echo $! >{tmp_path}/pid"], timeout_s=TIMEOUT_S)
    assert done.output.startswith("begun\n")
    deadline_s = time.monotonic() + TIMEOUT_S
    while is_running(int((tmp_path / "pid").read_text())):
        assert time.monotonic() < deadline_s, "the job outlived its command"


def test_a_job_in_a_session_of_its_own_ends_with_its_command(tmp_path: Path) -> None:
    job = f"setsid sh -c 'echo $$ >{tmp_path}/pid; exec sleep 1000'"
    done = sh(f"echo begun; {job} & while [ ! -s {tmp_path}/pid ]; do sleep 0.01; done")
    assert done.output == "begun\n"
    assert not is_running(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize("script", ["yes", "cat /dev/zero", "while :; do echo x; sleep 0.01; done"])
def test_command_is_killed_at_its_timeout(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_output, "MAX_OUTPUT_BYTES", 8 * MIB)
    with pytest.raises(CommandError, match=r"printed more than|timed out after 1 s"):
        sh(script, 1)


def test_timeout_applies_while_input_is_not_read() -> None:
    with pytest.raises(CommandError, match="timed out after 1 s"):
        sh("sleep 60", 1, input_text="x" * MIB)


def test_input_that_is_not_read_to_its_end_is_no_error() -> None:
    assert sh("head -c 1", input_text="x" * MIB).output == "x"


def test_input_and_output_longer_than_every_buffer() -> None:
    assert sh("cat", input_text="line\n" * MIB).output == "line\n" * MIB


# It makes its pipe larger, fills it and ends.
PRINT_A_MEBIBYTE = (
    "import fcntl, os; fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, 1 << 20); os.write(1, (b'x' * 65535 + b'\\n') * 16)"
)


def test_slow_readers_get_the_whole_output() -> None:
    lines: list[str] = []

    def read_slowly(line: str) -> None:
        lines.append(line)
        time.sleep(0.1)

    done = run([sys.executable, "-c", PRINT_A_MEBIBYTE], timeout_s=TIMEOUT_S, on_line=read_slowly)
    assert len(done.output) == MIB
    assert len(lines) == 16


def test_slow_reader_does_not_time_out_a_finished_command() -> None:
    assert run(["echo", "a line"], timeout_s=0.5, on_line=lambda line: time.sleep(1)).output == "a line\n"


def test_binary_output_is_text(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(bytes(range(256)) * 1000)
    assert len(sh(f"cat {tmp_path}/binary", log=tmp_path / "log").output) > 200_000
    assert (tmp_path / "log").stat().st_size > 200_000


def test_a_log_that_cannot_be_written_starts_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="log"):
        sh(f"touch {tmp_path}/started", log=tmp_path / "missing" / "log")
    assert not (tmp_path / "started").exists()


def test_a_missing_command_is_named() -> None:
    with pytest.raises(CommandError, match="no-such-command: not found"):
        run(["no-such-command"], timeout_s=TIMEOUT_S)


def test_an_interrupt_ends_the_command(tmp_path: Path) -> None:
    script = (
        "import signal, sys, threading, os; from hornet.host.proc import run\n"
        "threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        f"run(['sh', '-c', 'echo $$ >{tmp_path}/pid; sleep 60'], timeout_s=60)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=TIMEOUT_S, check=False)
    assert b"KeyboardInterrupt" in done.stderr
    assert not is_running(int((tmp_path / "pid").read_text()))


pieces = st.one_of(st.binary(max_size=30), st.sampled_from([b"\r\n", b"\r", b"\n", "€".encode(), "🐝".encode()]))


@settings(deadline=None)
@given(st.lists(pieces, max_size=30).map(b"".join), st.integers(1, 7))
def test_text_and_lines_do_not_depend_on_the_chunks(data: bytes, size: int) -> None:
    lines: list[str] = []
    with tempfile.TemporaryFile("w+", encoding="utf-8", newline="") as log:
        output = Output(log, lines.append)
        for begin in range(0, len(data), size):
            output.add(data[begin : begin + size])
        output.add(b"", final=True)
        log.seek(0)
        logged = log.read()
    whole = data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    assert output.text == logged == whole
    assert lines == [line.rstrip() for line in whole.removesuffix("\n").split("\n") if whole]


def test_an_endless_line_costs_linear_time() -> None:
    """With quadratic time it would copy terabytes."""
    lines: list[str] = []
    output = Output(None, lines.append)

    def read() -> None:
        for _ in range(1000):
            output.add(b"x" * CHUNK_BYTES)

    reading = threading.Thread(target=read, daemon=True)
    reading.start()
    reading.join(TIMEOUT_S)
    assert not reading.is_alive()
    output.add(b"", final=True)
    assert [len(line) for line in lines] == [1000 * CHUNK_BYTES]


def test_a_command_has_temporary_files_of_its_own(tmp_path: Path) -> None:
    directory = Path(run(["sh", "-c", "touch $TMPDIR/left; echo $TMPDIR"], timeout_s=20).output.strip())
    assert directory.name.startswith("hornetos-")
    assert not directory.exists()


def test_temporary_files_are_gone_also_after_a_kill(tmp_path: Path) -> None:
    script = "touch $TMPDIR/left; echo $TMPDIR >%s; sleep 60" % (tmp_path / "said")
    code = f"from hornet.host.proc import run; run(['sh', '-c', {script!r}], timeout_s=60)"
    with subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(SOURCE)}) as process:
        said = tmp_path / "said"
        while not (said.exists() and said.read_text().endswith("\n")):
            time.sleep(0.05)
        directory = Path(said.read_text().strip())
        assert directory.is_dir()
        process.kill()
    deadline_s = time.monotonic() + 20
    while directory.exists() and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert not directory.exists()


@pytest.mark.parametrize(
    ("exit_code", "words"),
    [
        (3, "exit code 3"),
        (-9, "killed by SIGKILL"),
        (137, "killed by SIGKILL"),
        (128, "exit code 128"),
        (255, "exit code 255"),
    ],
)
def test_killed_command_is_reported_as_killed(exit_code: int, words: str) -> None:
    assert ending(exit_code) == words


def test_temporary_files_are_gone_also_if_the_supervisor_is_killed() -> None:
    script = "touch $TMPDIR/left; echo $TMPDIR; kill -KILL $PPID; sleep 60"
    with pytest.raises(CommandError, match="killed by SIGKILL") as found:
        run(["sh", "-c", script], timeout_s=30)
    said = found.value.message.splitlines()[-1].strip(" |")
    assert Path(said).name.startswith("hornetos-")
    assert not Path(said).exists()
