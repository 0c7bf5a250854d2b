"""What is remembered of a lane: that it works or does not, never that the host lacked something for a moment."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import pytest

from hornet.errors import CommandError, HostError, VMError
from hornet.host.workspace import Workspace
from hornet.spec.lane import Lane
from hornet.spec.model import Spec, load_spec
from hornet.vm import kvm, lanes
from hornet.vmm.failure import VMFailedError
from hornet.vmm.registry import LANES, driver_of, lane_named, vmm_programs

ERRORS = {
    "no setpriv": (HostError("setpriv: not found"), None),
    "no compiler": (CommandError("gcc: not found"), None),
    "a killed VMM": (VMFailedError("VM probe failed: killed by SIGKILL", "", "", by_host=True), None),
    "a VMM that gives up": (VMFailedError("VM probe failed: exit code 1", "", ""), False),
    "no such machine": (VMError("unsupported machine type"), False),
}


@pytest.mark.parametrize("accelerator", ["tcg", "kvm"])
@pytest.mark.parametrize("name", ERRORS)
def test_only_a_lasting_failure_is_remembered(
    name: str, accelerator: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error, usable = ERRORS[name]

    driver = Mock()
    driver.boot.side_effect = error
    driver.program.missing = False
    monkeypatch.setattr(lanes, "driver_of", lambda lane: driver)
    monkeypatch.setattr(lanes, "vmm_version", lambda lane: "1")
    monkeypatch.setattr(kvm, "payload_problem", lambda: None)
    (tmp_path / "vmlinux").write_bytes(b"a kernel")
    workspace = Workspace(tmp_path / "home")
    state = lanes._probe(lane_named(f"qemu/{accelerator}"), workspace, tmp_path / "vmlinux", load_spec())
    assert state.usable is usable
    assert bool(list(workspace.root.glob("cache/lanes/*.json"))) == (usable is not None and accelerator == "kvm")


@pytest.mark.parametrize("lane", LANES, ids=str)
def test_each_lane_has_the_driver_of_its_vmm(lane: Lane, spec: Spec) -> None:
    driver = driver_of(lane)
    assert lane_named(str(lane)) == lane
    assert vmm_programs()[lane.vmm] == driver.program
    options = set(type(spec.firecracker.options).model_fields)
    assert set(driver.lane_settings(lane, spec.firecracker)) <= {"cpu", "boot_args", *options}
