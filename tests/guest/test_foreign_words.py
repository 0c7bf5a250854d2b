"""What a real guest says on its console, in its kernel's log and by SSH is shown and not obeyed."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hornet.errors import VMError
from hornet.host.workspace import Workspace
from hornet.installation import SOURCE
from hornet.snapshot import Bundle
from hornet.vm.fleet import VM, Fleet
from tests.support.foreign_words import HOSTILE, assert_obeyed_by_nobody

pytestmark = pytest.mark.guest

TIMEOUT_S = 300
LIMIT_S = 60
# A shell can't write a zero, and a line each is what a console shows.
SAID = [word.replace("\x00", "") for word in HOSTILE.values()]


def say(where: str) -> str:
    """A script that says all of it there."""
    return "\n".join(f"printf '%s\\n' {shlex.quote(word)} >{where}" for word in SAID)


def hornetos(workspace: Workspace, *words: object) -> subprocess.CompletedProcess[bytes]:
    ended = subprocess.run(
        [sys.executable, "-m", "hornet_cli", *map(str, words)],
        cwd=SOURCE,
        env={**os.environ, "HORNET_HOME": str(workspace.root), "PYTHONPATH": str(SOURCE)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=TIMEOUT_S,
    )
    assert_obeyed_by_nobody(ended.stdout)
    assert_obeyed_by_nobody(ended.stderr)
    return ended


@pytest.fixture
def talker(fleet: Fleet, bundle: Bundle) -> Iterator[VM]:
    """A VM that has said everything."""
    vm = fleet.restore(bundle)
    vm.guest.wait_ready(LIMIT_S)
    assert (
        vm.guest.run(f"{say('/dev/console')}\n{say('/dev/kmsg')}\necho the end >/dev/console", LIMIT_S).exit_code == 0
    )
    vm.vmm.console.wait_for("^the end$", LIMIT_S)
    yield vm
    fleet.remove(vm)


def test_foreign_console_text_is_escaped(talker: VM, workspace: Workspace) -> None:
    console = talker.vmm.console
    assert b"\x1b[2J" in console.path.read_bytes(), "evidence stays as it came"
    with pytest.raises(VMError) as caught:
        console.wait_for("^never$", 0.1)
    assert r"\x1b[2J" in str(caught.value)
    assert_obeyed_by_nobody(str(caught.value))
    assert hornetos(workspace, "diagnose", talker.name).returncode in (0, 1)


def test_foreign_script_output_is_escaped(bundle: Bundle, workspace: Workspace, tmp_path: Path) -> None:
    own = Workspace(tmp_path / "home")
    shutil.copytree(workspace.keys, own.root / "keys")
    script = tmp_path / "script"
    script.write_text(f"{say('/dev/stdout')}\n{say('/dev/stderr')}\nexit 3\n")
    ended = hornetos(own, "new-version", bundle.directory, "v1.1", "--script", script)
    assert ended.returncode == 1, ended.stderr
    assert rb"  | \x1b]0;owned" in ended.stdout
    said = [line for line in ended.stdout.splitlines() if not line.startswith(b"  | ")]
    assert len(said) == 1, "only the last line is ours"
    assert b"exit code 3 in the VM: nothing is published" in said[0]
