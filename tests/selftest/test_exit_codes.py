"""Exit codes never lie: what could not be judged or done is 2, with a sentence and no traceback."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path

import pytest

from tests.support.command_samples import PYTHON, Places, places, require_readable, run

__all__ = ["places"]

NOBODY = "65534"


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
# A full disk does not keep it from its work.
EXCEPT = {("rollback", "full"): 0}


Ended = dict[str, "subprocess.CompletedProcess[str]"]


def command(line: str, places: Places) -> list[str]:
    return line.replace("IMAGE", str(places.image)).replace("UNSEALED", str(places.unsealed)).split()


def assert_not_done(ended: subprocess.CompletedProcess[str], *, as_json: bool = False) -> None:
    shown = ended.stdout + ended.stderr
    assert ended.returncode == 2, shown
    assert "Traceback" not in shown
    assert not re.search("FAIL|DAMAGED|validation: failed", shown), "no verdict"
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
def test_unusable_home_is_exit_code_2(name: str, state: str, in_state: Callable[[str], Ended]) -> None:
    ended = in_state(state)[name]
    if (name, state) in EXCEPT:
        assert ended.returncode == EXCEPT[name, state], ended
        assert "Traceback" not in ended.stderr
    else:
        assert_not_done(ended, as_json="json" in name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_home_of_another_user_is_exit_code_2(places: Places) -> None:
    prefix = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--inh-caps=-all")
    require_readable(prefix)
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
sbom GONE
sbom DIR
sbom CIRCLE
sbom /dev/null
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


def test_missing_file_arguments_are_exit_code_2(places: Places, tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "circle").symlink_to("circle")
    lines = NO_SUCH_FILE
    for word, name in {"DIR": "directory", "GONE": "gone", "LONG": "x" * 5000, "CIRCLE": "circle"}.items():
        lines = lines.replace(word, str(tmp_path / name))
    for ended in run_many(lines.strip().splitlines(), places, tmp_path):
        assert ended.returncode == 2, ended
        assert ended.stdout if ended.args == ["gate", str(tmp_path / "directory")] else ended.stderr, ended
        assert "Traceback" not in ended.stderr, ended
        assert "unexpected" not in ended.stderr, ended
