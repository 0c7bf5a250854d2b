"""However a run ends, nothing of it goes on: its commands, their children and what they have made end with it."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from hornet.host.interrupts import CLEAN_UP_S
from hornet.host.proc import is_running
from hornet.host.workspace import Workspace
from hornet.installation import SOURCE
from tests.support import kernel_samples

START_TIMEOUT_S, END_TIMEOUT_S = 150, 60
EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
ENDINGS = [*EXIT_CODES, signal.SIGKILL]


@contextmanager
def started(argv: list[str], mark: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A process whose descendants carry a mark in their environment, and that has printed THERE."""
    settings = {**os.environ, "PYTHONPATH": str(SOURCE), "HORNET_TEST_MARK": mark, **environment}
    with subprocess.Popen(
        ["env", "--default-signal=INT,HUP,TERM", *argv], env=settings, stdout=-1, stderr=-1, text=True, cwd=SOURCE
    ) as process:
        try:
            yield process
        finally:
            for left in marked(mark):
                left.kill()


def marked(mark: str) -> list[psutil.Process]:
    """Processes that carry a mark, wherever they have gone to."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("HORNET_TEST_MARK") == mark and is_running(process.pid):
                found.append(process)
        except psutil.Error:
            continue
    return found


def wait_until_gone(mark: str) -> None:
    deadline_s = time.monotonic() + END_TIMEOUT_S
    while left := marked(mark):
        assert time.monotonic() < deadline_s, left
        time.sleep(0.05)


def await_marked(mark: str, name: str, count: int) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while (names := names_of_marked(mark)).count(name) < count:
        assert time.monotonic() < deadline_s, names
        time.sleep(0.05)


def names_of_marked(mark: str) -> list[str]:
    names = []
    for process in marked(mark):
        with suppress(psutil.NoSuchProcess):  # it ended between two looks
            names.append(process.name())
    return names


@pytest.fixture
def mark() -> str:
    return f"{random.randbytes(8).hex()}"


# --- Commands of the host ---------------------------------------------------------------------------------------------

COMMANDS = {
    "a shell's jobs": "sleep 1000 & sleep 1000 & wait",
    "a session of its own": "setsid sh -c 'sleep 1000; true' & sleep 1000",
    "a daemon": "(setsid sh -c 'sleep 1000 & ' &) ; sleep 1000",
    "make": "printf 'all: a b\\na b:\\n\\tsleep 1000\\n' >Makefile; make -j2",
    "tar": "mkfifo pipe; sleep 1000 >pipe & tar -cf - -I 'sh -c \"sleep 1000; cat\"' . | cat",
    "whoever ignores signals": "trap '' TERM HUP INT; sleep 1000 & sleep 1000",
}
RUN = "import sys; from hornet.host.interrupts import end_on_signals; from hornet.host.proc import run\n"
RUN += "end_on_signals(); run(['sh', '-c', sys.argv[1]], timeout_s=600, cwd=sys.argv[2])"


@pytest.mark.parametrize("number", ENDINGS)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_ends_with_the_process_that_ran_it(
    command: str, number: signal.Signals, mark: str, tmp_path: Path
) -> None:
    with started([sys.executable, "-c", RUN, COMMANDS[command], str(tmp_path)], mark) as process:
        await_marked(mark, "sleep", 1)
        process.send_signal(number)
        process.communicate(timeout=END_TIMEOUT_S)
        wait_until_gone(mark)


def test_what_a_command_leaves_in_the_background_ends_with_it(mark: str, tmp_path: Path) -> None:
    """Observed by a process that outlives the command."""
    script = f"{RUN.splitlines()[0]}\nrun(['sh', '-c', sys.argv[1]], timeout_s=60)\nprint('THERE', flush=True)\n"
    script += "sys.stdin.read()"
    with started([sys.executable, "-c", script, "setsid sh -c 'sleep 1000; true' & true"], mark) as process:
        assert process.stdout
        assert process.stdout.readline() == "THERE\n"
        assert [left.pid for left in marked(mark)] == [process.pid]
        process.kill()


# --- `hornetos` -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ENDINGS)
def test_a_build_that_a_signal_ends_leaves_nothing(number: signal.Signals, mark: str, tmp_path: Path) -> None:
    """A killed command cannot clean up: the next one does."""
    tree = kernel_samples.write_tree(tmp_path / "tree")
    (tree / "Makefile").write_text("%:\n\tsleep 1000\n\nall:\n")
    workspace = Workspace(tmp_path / "home")
    argv = [sys.executable, "-m", "hornet_cli", "build", "kernel", "--source", str(tree)]
    with started(argv, mark, HORNET_HOME=str(workspace.root)) as process:
        await_marked(mark, "sleep", 1)
        process.send_signal(number)
        _, said = process.communicate(timeout=END_TIMEOUT_S)
        wait_until_gone(mark)
    if number in EXIT_CODES:
        assert process.returncode == EXIT_CODES[number]
        assert said.splitlines()[-1] == f"hornetos: {WORDS[number]}"
        assert "Traceback" not in said
    else:
        assert list((workspace.build / "kernel").glob("*.tmp-*"))
        again = [sys.executable, "-m", "hornet_cli", "net", "list", "--private", "hornet-none-"]
        subprocess.run(
            again, env={**os.environ, "HORNET_HOME": str(workspace.root)}, cwd=SOURCE, check=True, timeout=60
        )
    assert not list((workspace.build / "kernel").glob("*.tmp-*"))


WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated", signal.SIGHUP: "hung up"}


# --- pytest -----------------------------------------------------------------------------------------------------------

HANGS = """
import os, pathlib, threading, time
import pytest

@pytest.fixture(scope="session")
def thing():
    file = pathlib.Path(os.environ["THINGS"], f"{os.getpid()}")
    file.touch()
    yield
    time.sleep(1)  # what interrupts the clean-up would leave the file
    file.unlink()

@pytest.mark.parametrize("number", range(2))
def test_hangs(number, thing):
    threading.Event().wait(1000)
"""


@contextmanager
def hanging_run(
    tmp_path: Path, mark: str, *options: str, before: tuple[str, ...] = ()
) -> Iterator[subprocess.Popen[str]]:
    (tmp_path / "test_hangs.py").write_text(HANGS)
    shutil.copy(SOURCE / "conftest.py", tmp_path)
    things = tmp_path / "things"
    things.mkdir()
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={tmp_path}", *options]
    settings = {"THINGS": str(things), "HORNET_HOME": str(tmp_path / "home")}
    with started([*before, *argv, str(tmp_path / "test_hangs.py")], mark, **settings) as process:
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while len(list(things.iterdir())) < (2 if "-n2" in options else 1):
            assert time.monotonic() < deadline_s, "the run does not begin"
            time.sleep(0.05)
        yield process
        wait_until_gone(mark)
        assert not list(things.iterdir()), "the clean-up was not done"


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
@pytest.mark.parametrize("number", EXIT_CODES)
def test_a_run_of_tests_that_a_signal_ends_cleans_up(
    number: signal.Signals, workers: str, mark: str, tmp_path: Path
) -> None:
    """The signal goes to the run alone, as from a service manager; its workers end as well."""
    with hanging_run(tmp_path, mark, workers) as process:
        process.send_signal(number)
        _, said = process.communicate(timeout=END_TIMEOUT_S)
    assert process.returncode == EXIT_CODES[number]
    assert said.splitlines()[-1] == f"hornetos: {WORDS[number]}"


BENCHMARK = """
import pathlib, threading
import pytest

@pytest.fixture(scope="session")
def thing():
    file = pathlib.Path(__file__).with_name("thing")
    file.touch()
    yield
    file.unlink()

def test_done(benchmark):
    benchmark.pedantic(lambda: None, rounds=2)

def test_hangs(thing, benchmark):
    benchmark.pedantic(lambda: (print("THERE", flush=True), threading.Event().wait(1000)), rounds=2)
"""


@pytest.mark.parametrize("number", EXIT_CODES)
def test_interrupted_benchmark_cleans_up_and_is_not_saved(number: signal.Signals, mark: str, tmp_path: Path) -> None:
    (tmp_path / "test_hangs.py").write_text(BENCHMARK)
    shutil.copy(SOURCE / "conftest.py", tmp_path)
    argv = [sys.executable, "-m", "pytest", "-sq", "-p", "no:cacheprovider", f"--rootdir={tmp_path}"]
    argv += ["--benchmark-autosave", f"--benchmark-storage=file://{tmp_path}/saved", str(tmp_path / "test_hangs.py")]
    # pytest-benchmark measures nothing in a worker of xdist, and takes its children for such.
    inside = [name for name in os.environ if name.startswith("PYTEST_XDIST")]
    without = ("env", *(word for name in inside for word in ("-u", name)))
    with started([*without, *argv], mark, HORNET_HOME=str(tmp_path / "home")) as process:
        assert any("THERE" in line for line in process.stdout or ())
        process.send_signal(number)
        said = "".join(process.communicate(timeout=END_TIMEOUT_S))
    assert process.returncode == EXIT_CODES[number]
    assert "Traceback" not in said
    assert not (tmp_path / "thing").exists(), "the clean-up was not done"
    (saved,) = tmp_path.glob("saved/**/*.json")
    assert [each["name"] for each in json.loads(saved.read_text())["benchmarks"]] == ["test_done"]


COUNTS = """
import pathlib, signal, sys, time
place = pathlib.Path(sys.argv[1])
signal.signal(signal.SIGINT, lambda *_: (place / f"got-{time.monotonic_ns()}").touch())
(place / "there").touch()
end_s = time.monotonic() + 3
while time.monotonic() < end_s:
    time.sleep(0.05)
"""


def test_ctrl_c_reaches_the_program_of_a_command_once(mark: str, tmp_path: Path) -> None:
    """A terminal sends the signal to every process of its foreground group, the command and its program."""
    script = "import sys; from hornet.host.interrupts import end_on_signals; from hornet_cli.subprocesses import call\n"
    script += "end_on_signals(); call(sys.argv[1:])"
    words = ["setsid", sys.executable, "-c", script, sys.executable, "-c", COUNTS, str(tmp_path)]
    with started(words, mark) as process:
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not (tmp_path / "there").exists():
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=END_TIMEOUT_S)
    assert len(list(tmp_path.glob("got-*"))) == 1


def test_a_second_interrupt_does_not_stop_the_clean_up(mark: str, tmp_path: Path) -> None:
    assert CLEAN_UP_S > 1
    with hanging_run(tmp_path, mark) as process:
        for _ in range(3):
            process.send_signal(signal.SIGINT)
            time.sleep(0.3)
        process.communicate(timeout=END_TIMEOUT_S)
    assert process.returncode == 130


@pytest.mark.parametrize("number", ENDINGS)
def test_a_program_that_a_command_hands_over_to_ends_with_it(number: signal.Signals, mark: str, tmp_path: Path) -> None:
    """`hornetos run` and `hornetos test`: the signal goes to the command alone."""
    script = "import sys; from hornet.host.interrupts import end_on_signals; from hornet_cli.subprocesses import call\n"
    script += "end_on_signals(); call(sys.argv[1:])"
    with hanging_run(tmp_path, mark, before=(sys.executable, "-c", script)) as process:
        process.send_signal(number)
        process.communicate(timeout=END_TIMEOUT_S)


# --- A run that is done -----------------------------------------------------------------------------------------------

SIGNAL_AT_THE_END = """
import os, pytest

@pytest.hookimpl(tryfirst=True)
def {hook}(config):
    os.kill(os.getpid(), {number})
"""


@pytest.mark.parametrize("number", EXIT_CODES)
@pytest.mark.parametrize("hook", ["pytest_terminal_summary", "pytest_unconfigure"])
def test_a_signal_does_not_break_a_summary(hook: str, number: signal.Signals, tmp_path: Path, mark: str) -> None:
    (tmp_path / "conftest.py").write_text(SIGNAL_AT_THE_END.format(hook=hook, number=int(number)))
    (tmp_path / "test_sample.py").write_text("def test_passes(): pass\n")
    options = ["-q", "-p", "hornet_fixtures.plugin", f"--rootdir={tmp_path}", f"--run-dir={tmp_path}/run"]
    with started([sys.executable, "-m", "pytest", *options, str(tmp_path)], mark) as process:
        output, errors = process.communicate(timeout=END_TIMEOUT_S)
    assert "1 passed" in output
    assert "Traceback" not in output + errors
    in_time = hook == "pytest_terminal_summary"
    assert process.returncode == (EXIT_CODES[number] if in_time else 0)
    assert ("hornetos: " in errors) == in_time
