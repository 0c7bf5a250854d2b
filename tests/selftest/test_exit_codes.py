"""Exit codes never lie: what could not be judged or done is 2, with a sentence and no traceback."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import paramiko
import psutil
import pytest
import typer

import hornet_cli.ext4
from hornet.errors import HostError
from hornet.installation import SOURCE
from hornet.snapshot.manifest import MANIFEST_FILE
from hornet_cli import failures, main
from hornet_cli.failures import LOGS_DIRECTORY, Failures
from tests.support import bundle_samples
from tests.support import synthetic_run as synthetic

NOBODY = "65534"


@dataclass(frozen=True)
class Places:
    """home: with two sealed snapshots and a run; unsealed: three files without a manifest; image: a sound ext4."""

    workspace: Path
    unsealed: Path
    image: Path


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    base = tmp_path_factory.mktemp("places")
    workspace = base / "home"
    bundles = [bundle_samples.make_bundle(workspace / "snapshots" / f"v{number}.0", seed=number) for number in (1, 2)]
    synthetic.make_run(workspace / "reports" / "latest")
    unsealed = shutil.copytree(bundles[0].directory, base / "unsealed")
    (unsealed / MANIFEST_FILE).unlink()
    return Places(workspace, unsealed, Path(shutil.copy(bundles[0].rootfs, base / "sound.ext4")))


# What is done to HORNET_HOME, which has files beside it, in a mount namespace of its own before commands run there.
HOMES = {
    "read-only": "mount --bind $HORNET_HOME $HORNET_HOME; mount -o remount,bind,ro $HORNET_HOME",
    "full": (
        "mkdir /mnt/own; mount --bind $HORNET_HOME /mnt/own; mount -t tmpfs -o size=16m tmpfs $HORNET_HOME; "
        "cp -a /mnt/own/. $HORNET_HOME; cd $HORNET_HOME; mkdir run build keys; cat /dev/zero >fill 2>/dev/null || true"
    ),
    "without a free inode": "mount -t tmpfs -o nr_inodes=1 tmpfs $HORNET_HOME",
    "a file": "touch /mnt/file; HORNET_HOME=/mnt/file",
    "a circle of links": "ln -s circle /mnt/circle; HORNET_HOME=/mnt/circle",
    "a name that is too long": f"HORNET_HOME=$HORNET_HOME/{'x' * 300}",
}
# Each needs a home that works.
COMMANDS = {
    "ext4": "ext4 IMAGE",
    "ext4 --json": "ext4 --json IMAGE",
    "validate": "validate v1.0",
    "rollback": "rollback v1.0",
    "adopt": "adopt UNSEALED --lane firecracker/kvm --tier standard --vmm-version 1.7.0",
    "report": "report latest",
    "host": "host",
    "build": "build kernel",
    "new-version": "new-version v1.0 v3.0 --script /dev/null",
    "diagnose": "diagnose vm1",
}
# A full disk does not keep them from their work.
EXCEPT = {("rollback", "full"), ("diagnose", "full")}


Ended = dict[str, "subprocess.CompletedProcess[str]"]
PYTHON = sys.executable


def run(argv: Sequence[str | Path], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        cwd=SOURCE,
        env={**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONDONTWRITEBYTECODE": "1", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


def hornetos(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run([PYTHON, "-m", "hornet_cli", *words], **environment)


def command(line: str, places: Places) -> list[str]:
    return line.replace("IMAGE", str(places.image)).replace("UNSEALED", str(places.unsealed)).split()


def assert_not_done(ended: subprocess.CompletedProcess[str], *, as_json: bool = False) -> None:
    shown = ended.stdout + ended.stderr
    assert ended.returncode == 2, shown
    assert "Traceback" not in shown
    assert not re.search("FAIL|DAMAGED|does not hold", shown), "no verdict"
    sentence = ended.stdout if as_json else ended.stderr
    assert ("next" if as_json else "\n  next: ") in sentence, "what to do next"
    assert "unexpected" not in sentence, "the state of a disk is nothing unexpected"
    if as_json:
        assert json.loads(ended.stdout)["verdict"] == "not judged"


# Runs each command in a fork of one process, which has read all the modules.
MANY = """
import json, os, sys
import hornet_cli.app, hornet_cli.main, hornet.formats.ext4.verdict, hornet.procedures.validate, reports.plot
ended = []
for number, words in enumerate(json.loads(sys.argv[1])):
    with open(f"{sys.argv[2]}/{number}.out", "w+") as out, open(f"{sys.argv[2]}/{number}.err", "w+") as err:
        child = os.fork()
        if child == 0:
            os.dup2(out.fileno(), 1), os.dup2(err.fileno(), 2)
            sys.argv = ["hornetos", *words]
            hornet_cli.main.main()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        out.seek(0), err.seek(0)  # the child wrote through the same offsets
        ended.append([words, code, out.read(), err.read()])
print(json.dumps(ended))
"""


def run_many(
    commands: Iterable[str], places: Places, work: Path | str, prefix: Sequence[str] = (), **environment: str
) -> list[subprocess.CompletedProcess[str]]:
    """How each command ends; `work` is a directory for what they print."""
    words = json.dumps([command(line, places) for line in commands])
    ran = run([*prefix, PYTHON, "-c", MANY, words, work], **{"HORNET_HOME": str(places.workspace), **environment})
    assert ran.returncode == 0, ran.stderr
    return [subprocess.CompletedProcess(*each) for each in json.loads(ran.stdout)]


@pytest.fixture(scope="module")
def in_state(places: Places) -> Callable[[str], Ended]:
    """All commands in a home of a state, run once."""
    own = ("unshare", "--mount") if os.geteuid() == 0 else ("unshare", "--map-root-user", "--mount")

    @cache
    def ended(state: str) -> Ended:
        if subprocess.run([*own, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True).returncode:
            pytest.skip("not judged: nothing can be mounted here, not even in a namespace")
        script = f'mount -t tmpfs tmpfs /mnt; export HORNET_HOME; {HOMES[state]}; exec "$@"'
        ended = run_many(COMMANDS.values(), places, "/mnt", [*own, "sh", "-e", "-c", script, "sh"])
        return dict(zip(COMMANDS, ended, strict=True))

    return ended


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("state", HOMES)
def test_a_home_that_does_not_work(name: str, state: str, in_state: Callable[[str], Ended]) -> None:
    ended = in_state(state)[name]
    if (name, state) in EXCEPT:
        assert "Traceback" not in ended.stderr
    else:
        assert_not_done(ended, as_json="json" in name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_home_of_somebody_else(places: Places) -> None:
    prefix = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--inh-caps=-all")
    if any(subprocess.run([*prefix, "test", "-r", path]).returncode for path in (SOURCE / "conftest.py", PYTHON)):
        pytest.skip("not judged: the checkout or Python lies where only root can read")
    with tempfile.TemporaryDirectory(dir="/tmp") as work:
        os.chown(work, int(NOBODY), int(NOBODY))
        for ended in run_many(COMMANDS.values(), places, work, prefix, MPLCONFIGDIR=work):
            assert_not_done(ended, as_json="--json" in ended.args)


NO_SUCH_FILE = """
ext4 DIR
ext4 /dev/null
ext4 /proc/self/mem
ext4 LONG
ext4 CIRCLE
kconfig DIR
kconfig GONE
kconfig CIRCLE
validate GONE
validate LONG
validate CIRCLE
rollback LONG
adopt GONE --lane qemu/tcg --tier standard
report GONE
report LONG
gate GONE
gate DIR
capacity GONE
host --kernel DIR
new-version v1.0 v3.0 --script DIR
--spec DIR gate latest
--spec GONE gate latest
--overlay DIR gate latest
--overlay CIRCLE gate latest
"""


def test_what_is_no_such_file(places: Places, tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "circle").symlink_to("circle")
    lines = NO_SUCH_FILE
    for word, name in {"DIR": "directory", "GONE": "gone", "LONG": "x" * 5000, "CIRCLE": "circle"}.items():
        lines = lines.replace(word, str(tmp_path / name))
    for ended in run_many(lines.strip().splitlines(), places, tmp_path):
        assert ended.returncode == 2, ended
        assert ended.stderr or ended.args[0] == "gate", ended
        assert "Traceback" not in ended.stderr, ended
        assert "unexpected" not in ended.stderr, ended


# --- Faults of the suite ----------------------------------------------------------------------------------------------


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Failures:
    """A home for the logs, and failures that are no other test's."""
    monkeypatch.setenv("HORNET_HOME", str(tmp_path))
    made = Failures()
    monkeypatch.setattr(main, "FAILURES", made)
    monkeypatch.setattr(failures, "FAILURES", made)
    return made


def run_failing(fail: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> int:
    """`hornetos ext4` whose judge does something else."""
    monkeypatch.setattr(hornet_cli.ext4, "judge_ext4", lambda *words: fail())
    return main.run(["ext4", "image"])


def raising(error: BaseException) -> Callable[[], object]:
    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EIO, "Input/output error", "/images/x"), "/images/x: Input/output error\n  next: the disk"),
        (OSError(errno.ENOSPC, "No space left on device"), "test_exit_codes.py, line"),
        (OSError("no number"), "unexpected OSError: no number"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), "Broken pipe"),
        (EOFError(), "unexpected EOFError: no reason given"),
        (MemoryError(), "out of memory\n  next: free memory"),
        (RecursionError("maximum recursion depth exceeded"), "unexpected RecursionError"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "unexpected UnicodeDecodeError"),
        (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed"), "unexpected UnicodeEncodeError"),
        (KeyError("pid"), "unexpected KeyError: 'pid'; nothing was judged"),
        (AssertionError(), "unexpected AssertionError"),
        (json.JSONDecodeError("Expecting value", "x\x1b]0;", 0), "unexpected JSONDecodeError"),
        (paramiko.SSHException("\x1b[31mbanner"), r"unexpected SSHException: \x1b[31mbanner"),
        (psutil.NoSuchProcess(7), "unexpected NoSuchProcess"),
        (typer.Abort(), "unexpected Abort"),
        (ExceptionGroup("two", [ValueError("a"), KeyError("b")]), "unexpected ExceptionGroup: two"),
        (HostError("no lane", "build a kernel"), "hornetos: no lane\n  next: build a kernel\n"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_any_exception_is_2_and_one_message(
    error: BaseException,
    said: str,
    fresh: Failures,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_failing(raising(error), monkeypatch) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert "Traceback" not in shown.err + shown.out
    assert "\x1b" not in shown.err


def test_the_traceback_is_in_a_log_that_the_message_names(
    fresh: Failures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_failing(raising(KeyError("pid")), monkeypatch)
    (log,) = (tmp_path / LOGS_DIRECTORY).iterdir()
    assert f"the traceback is in {log}" in capsys.readouterr().err
    assert "Traceback (most recent call last)" in log.read_text()
    assert "KeyError: 'pid'" in log.read_text()


def test_a_log_that_can_not_be_written_hides_nothing(
    fresh: Failures, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HORNET_HOME", "/dev/null")
    monkeypatch.setattr(hornet_cli.ext4, "settings", lambda ctx: raising(KeyError("pid"))())
    assert main.run(["ext4", "image"]) == 2
    assert "run `hornetos --debug" in capsys.readouterr().err


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    ended = hornetos("--debug", "kconfig", str(tmp_path), HORNET_HOME=str(tmp_path))
    assert ended.returncode == 2
    assert "Traceback (most recent call last)" in ended.stderr


def test_what_a_thread_could_not_do_makes_no_verdict(
    fresh: Failures, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(threading, "excepthook", fresh._in_thread)

    def judge_with_a_thread() -> None:
        thread = threading.Thread(target=raising(OSError(errno.ENOSPC, "No space left on device", "/x.log")), name="t")
        thread.start()
        thread.join()
        raise typer.Exit(1)

    assert run_failing(judge_with_a_thread, monkeypatch) == 2
    assert "hornetos: in thread t: /x.log: No space left on device" in capsys.readouterr().err


AT_EXIT = """
import atexit, sys
sys.argv = ["hornetos", "--help"]
class Late:
    def __del__(self):
        raise KeyError("late")
kept = [Late()]
atexit.register(lambda: 1 / 0)
from hornet_cli.main import main
main()
"""
BEFORE_MAIN = """
import sys
sys.argv = ["hornetos", "gate"]
sys.modules["typer"] = None
from hornet_cli.main import main
main()
"""


INTERRUPTED = """
import sys
sys.argv = ["hornetos", "gate"]
import hornet_cli.gate
from hornet_cli.main import main
def interrupt(*words):
    raise KeyboardInterrupt
hornet_cli.gate.settings = interrupt
main()
"""


def test_last_words_at_the_end_of_the_interpreter_are_no_traceback(tmp_path: Path) -> None:
    ended = run([PYTHON, "-c", AT_EXIT], HORNET_HOME=str(tmp_path))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "ZeroDivisionError" in "".join(log.read_text() for log in (tmp_path / LOGS_DIRECTORY).iterdir())


def test_a_broken_installation_is_2(tmp_path: Path) -> None:
    ended = run([PYTHON, "-c", BEFORE_MAIN], HORNET_HOME=str(tmp_path))
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert "typer" in ended.stderr
    assert "installation" in ended.stderr


# --- Interrupts and output that goes nowhere --------------------------------------------------------------------------


def test_an_interrupt_is_130(tmp_path: Path) -> None:
    interrupted = run([PYTHON, "-c", INTERRUPTED], HORNET_HOME=str(tmp_path))
    assert (interrupted.returncode, interrupted.stdout) == (130, "")
    assert interrupted.stderr == "hornetos: interrupted\n"


def shell(line: str, places: Places) -> subprocess.CompletedProcess[str]:
    line = line.replace("hornetos", f"{shlex.quote(PYTHON)} -m hornet_cli")
    return run(["bash", "-o", "pipefail", "-c", line], HORNET_HOME=str(places.workspace))


@pytest.mark.parametrize("words", ["--help", "gate latest", "capacity latest"])
def test_a_reader_that_goes_away_is_no_error(words: str, places: Places) -> None:
    ended = shell(f"hornetos {words} | true", places)
    assert ended.stderr == ""
    assert ended.returncode == 141


@pytest.mark.parametrize("words", ["--help", "gate latest", "capacity latest"])
def test_output_that_can_not_be_written_is_2(words: str, places: Places) -> None:
    ended = shell(f"hornetos {words} >/dev/full", places)
    assert ended.returncode == 2
    assert "standard output: No space left on device" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_nothing_can_be_said_at_all(places: Places) -> None:
    assert shell("hornetos gate gone >/dev/full 2>/dev/full", places).returncode == 2
    assert shell("hornetos gate gone >&- 2>&-", places).returncode == 2
    assert shell("hornetos --help >&-", places).returncode == 0


def test_a_launcher_that_fails_is_2(tmp_path: Path) -> None:
    """Anything in it: here, what locks the home."""
    for name in ("packages.txt", "pyproject.toml"):
        shutil.copy(SOURCE / name, tmp_path)
    text = (SOURCE / "hornetos").read_text()
    assert "    flock 9\n" in text
    (tmp_path / "hornetos").write_text(text.replace("    flock 9\n", "    false\n"))
    ended = run(["bash", tmp_path / "hornetos", "--help"], HORNET_HOME=str(tmp_path / "home"))
    assert ended.returncode == 2
    assert "could not be set up" in ended.stderr


def test_an_interrupt_while_the_command_is_loaded_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "logging.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    done = subprocess.run(
        [sys.executable, "-m", "hornet_cli", "guide"],
        cwd=SOURCE,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{SOURCE}"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")
