"""The name of a built snapshot covers everything that it depends on: whatever changes, another one is built."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest

from builders import snapshots
from hornet.host.progress import Progress
from hornet.host.workspace import Workspace
from hornet.spec.lane import Lane
from hornet.spec.model import Spec, load_spec
from hornet.vm.fleet import Fleet
from hornet.vmm.registry import LANES, driver_sources

SPEC = load_spec()


@pytest.fixture
def version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """The name of the snapshot that is built in a lane, of the project's own or another spec."""
    built: list[str] = []

    def note_version(fleet: Fleet, progress: object, kernel: Path, image: Path, version: str, *rest: object) -> None:
        built.append(version)

    monkeypatch.setattr(snapshots, "_build", note_version)
    monkeypatch.setattr(snapshots, "vmm_version", lambda lane: "1.0")
    for name in ("kernel", "image"):
        (tmp_path / name).write_text(name)

    def name_of(lane: Lane, spec: Spec = SPEC) -> str:
        fleet = Mock(workspace=Workspace(tmp_path), lane=lane)
        fleet.spec, fleet.key.public_blob = spec, "AAAA"
        snapshots.build_snapshot(
            fleet, Progress(io.StringIO()), kernel=tmp_path / "kernel", image=tmp_path / "image", tier="standard"
        )
        return built.pop()

    return name_of


@pytest.mark.parametrize("lane", LANES, ids=str)
def test_another_argument_of_the_vmm_makes_another_snapshot(
    lane: Lane, version: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = version(lane)
    copies = [tmp_path / path.name for path in driver_sources(lane)]
    for source, copy in zip(driver_sources(lane), copies, strict=True):
        copy.write_bytes(source.read_bytes())
    monkeypatch.setattr(snapshots, "driver_sources", lambda _: copies)
    assert version(lane) == before, "a driver that lies elsewhere is the same"
    balloon = [copy for copy in copies if "balloon" in copy.read_text()]
    assert balloon, "the devices of the VM are among the sources"
    balloon[0].write_text(balloon[0].read_text().replace("balloon", "other-device"))
    assert version(lane) != before


def warmed(*commands: str) -> Spec:
    return SPEC.model_copy(update={"snapshot": SPEC.snapshot.model_copy(update={"warm_up": list(commands)})})


def test_other_commands_of_the_warm_up_make_another_snapshot(version: Callable[..., str]) -> None:
    assert version(LANES[0], warmed("node -e 1")) != version(LANES[0], warmed("node -e 2"))


def test_a_vm_is_warm_when_its_snapshot_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot is taken even if the image lacks a tool."""
    done: list[str] = []

    def run(script: str, timeout_s: float) -> Mock:
        done.append(script)
        return Mock(stdout="", exit_code=127)

    monkeypatch.setattr(snapshots, "vmm_version", lambda lane: "1.0")
    monkeypatch.setattr(snapshots, "origin_of", lambda *_, **__: Mock(kernel_release="6.1"))
    monkeypatch.setattr(snapshots, "take_snapshot", lambda *_, **__: done.append("taken"))
    for name in ("kernel", "image"):
        (tmp_path / name).write_text(name)
    fleet = Mock(workspace=Workspace(tmp_path), lane=Lane("qemu", "tcg"))
    fleet.spec = warmed("node -e 1", "git --version")
    fleet.key.public_blob = "AAAA"
    fleet.boot.return_value.guest.run = run
    snapshots.build_snapshot(
        fleet, Progress(io.StringIO()), kernel=tmp_path / "kernel", image=tmp_path / "image", tier="standard"
    )
    assert done == ["dmesg", "node -e 1", "git --version", "taken"]


def test_another_root_makes_another_snapshot(version: Callable[..., str]) -> None:
    shared = SPEC.tier("standard").model_copy(update={"root": "shared"})
    changed = SPEC.model_copy(update={"tiers": {**SPEC.tiers, "standard": shared}})
    assert version(LANES[0]) == version(LANES[0], SPEC)
    assert version(LANES[0], changed) != version(LANES[0])
