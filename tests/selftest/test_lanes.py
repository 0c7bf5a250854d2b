"""What is remembered of a lane: that it works or does not, never that the host lacked something for a moment."""

from __future__ import annotations

from pathlib import Path

import pytest

from hornet.errors import CommandError, HostError, VMError
from hornet.host.workspace import Workspace
from hornet.spec.lane import lane_named
from hornet.spec.model import load_spec
from hornet.vm import lanes
from hornet.vmm.failure import VMFailedError

ERRORS = {
    "no setpriv": (HostError("setpriv: not found"), None),
    "no compiler": (CommandError("gcc: not found"), None),
    "a killed VMM": (VMFailedError("VM probe failed: killed by SIGKILL", "", "", by_host=True), None),
    "a VMM that gives up": (VMFailedError("VM probe failed: exit code 1", "", ""), False),
    "no such machine": (VMError("unsupported machine type"), False),
}


@pytest.mark.parametrize("name", ERRORS)
def test_only_a_verdict_is_remembered(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error, usable = ERRORS[name]

    def refuse(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(lanes, "boot_vm", refuse)
    monkeypatch.setattr(lanes, "vmm_version", lambda lane: "1")
    monkeypatch.setattr(lanes, "_missing", lambda lane: "")
    (tmp_path / "vmlinux").write_bytes(b"a kernel")
    workspace = Workspace(tmp_path / "home")
    state = lanes._probe(lane_named("qemu/tcg"), workspace, tmp_path / "vmlinux", load_spec())
    assert state.usable is usable
    assert bool(list(workspace.root.glob("cache/lanes/*.json"))) == (usable is not None)
