"""The guide's procedures as commands, as far as they need no guest: adopt, rollback, and what validate refuses."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from hornet.errors import HornetError, SnapshotError
from hornet.host.workspace import Workspace
from hornet.snapshot import Bundle, open_bundle, production
from hornet.snapshot.manifest import MANIFEST_FILE
from hornet.vm.state import STATE_FILE, VMState
from hornet_cli.app import app
from tests.support import bundle_samples, ext4_samples
from tests.support.bundle_samples import NAMES


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Bundle]:
    """Two versions that no test changes."""
    directory = tmp_path_factory.mktemp("made")
    return [bundle_samples.make_bundle(directory / f"v{number}.0", seed=number) for number in (1, 2)]


@pytest.fixture
def workspace(made: list[Bundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A home with two versions, v1.0 in production."""
    workspace = Workspace(tmp_path)
    monkeypatch.setenv("HORNET_HOME", str(tmp_path))
    for bundle in made:
        shutil.copytree(bundle.directory, workspace.snapshots / bundle.directory.name)
    assert cli("rollback", "v1.0").exit_code == 0
    return workspace


def cli(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


def in_production(workspace: Workspace) -> str:
    found = production(workspace, NAMES)
    assert found
    return found.name


def note_running_vm(workspace: Workspace, name: str, snapshot: Path, pid: int) -> None:
    """What a fleet notes of a VM of its own."""
    directory = workspace.run / "vms" / name
    directory.mkdir(parents=True)
    state = VMState(
        pid=pid,
        owner_pid=pid,
        lane="qemu/tcg",
        vm_id=1,
        namespace=name,
        private_host="",
        ssh_key="/key",
        snapshot=str(snapshot),
    )
    (directory / STATE_FILE).write_text(state.to_json())


def test_rollback_switches_and_lists_who_still_runs_another(workspace: Workspace) -> None:
    note_running_vm(workspace, "vm1", workspace.snapshots / "v1.0", os.getpid())
    note_running_vm(workspace, "vm2", workspace.snapshots / "v2.0", os.getpid())
    note_running_vm(workspace, "vm3", workspace.snapshots / "v1.0", pid=2**22)
    result = cli("rollback", "v2.0")
    assert result.exit_code == 0, result.output
    assert in_production(workspace) == "v2.0"
    assert "production: v2.0 (before: v1.0)" in result.output
    assert "still runs another version: vm1: v1.0" in result.output
    assert "vm2" not in result.output, "it runs the version chosen"
    assert "vm3" not in result.output, "its process is gone"


def break_seal(directory: Path) -> None:
    ext4_samples.flip(directory / NAMES.memory_file, 7)


def take_seal_off(directory: Path) -> None:
    (directory / MANIFEST_FILE).unlink()


@pytest.mark.parametrize(("damage", "why"), [(break_seal, "vm.mem: SHA-256"), (take_seal_off, "never sealed")])
def test_rollback_rejects_an_unsealed_snapshot(damage: Callable[[Path], None], why: str, workspace: Workspace) -> None:
    damage(workspace.snapshots / "v2.0")
    result = cli("rollback", "v2.0")
    assert result.exit_code == 1
    assert why in result.output
    assert "production is unchanged: v1.0" in result.output
    assert in_production(workspace) == "v1.0"


def test_rollback_to_a_missing_version_is_named(workspace: Workspace) -> None:
    assert isinstance(cli("rollback", "v9.9").exception, SnapshotError)
    assert in_production(workspace) == "v1.0"


def test_adopt_seals_the_three_files_as_they_are(workspace: Workspace) -> None:
    directory = workspace.snapshots / "v2.0"
    take_seal_off(directory)
    kernel = workspace.root / "vmlinux"
    kernel.write_bytes(b"a kernel")
    options: list[str | Path] = [
        "--lane",
        "firecracker/kvm",
        "--tier",
        "standard",
        "--vmm-version",
        "1.7.0",
        "--kernel",
        kernel,
    ]
    result = cli("adopt", directory, *options)
    assert result.exit_code == 0, result.output
    assert "kernel_release: not known" in result.output
    origin = open_bundle(directory, NAMES).check_full().origin
    assert (origin.adopted, origin.lane, origin.vmm_version, origin.memory_mib) == (True, "firecracker/kvm", "1.7.0", 2)
    break_seal(directory)
    with pytest.raises(SnapshotError, match=r"vm\.mem"):
        open_bundle(directory, NAMES).check_seal()


@pytest.mark.parametrize(("mode", "said"), [(0o755, True), (0o700, False)])
def test_adopt_says_when_others_may_read_the_memory(mode: int, said: bool, workspace: Workspace) -> None:
    directory = workspace.snapshots / "v2.0"
    take_seal_off(directory)
    directory.chmod(mode)
    options: list[str | Path] = ["--lane", "firecracker/kvm", "--tier", "standard", "--vmm-version", "1.7.0"]
    assert (f"chmod -R go= {directory}" in "".join(cli("adopt", directory, *options).output.splitlines())) is said


def damage_disk(directory: Path) -> None:
    take_seal_off(directory)
    ext4_samples.debugfs(directory / NAMES.rootfs_file, "clri /d5/sub/file")


def cut_memory(directory: Path) -> None:
    take_seal_off(directory)
    os.truncate(directory / NAMES.memory_file, 1_500_000)


@pytest.mark.parametrize(
    ("prepare", "options", "exit_code", "why"),
    [
        (damage_disk, {}, 1, "DAMAGED"),
        (lambda directory: None, {}, 2, "already exists"),
        (cut_memory, {}, 2, "expected whole MiB"),
        (take_seal_off, {"--lane": "vmware/esx"}, 2, "unknown lane"),
        (take_seal_off, {"--tier": "huge"}, 2, "unknown tier"),
    ],
    ids=["damaged disk", "sealed already", "memory cut off", "unknown lane", "unknown tier"],
)
def test_adopt_rejects_unusable_directories(
    prepare: Callable[[Path], None], options: dict[str, str], exit_code: int, why: str, workspace: Workspace
) -> None:
    directory = workspace.snapshots / "v2.0"
    prepare(directory)
    before = (directory / MANIFEST_FILE).exists()
    given = {"--lane": "firecracker/kvm", "--tier": "standard", "--vmm-version": "1.7.0", **options}
    result = cli("adopt", directory, *(word for pair in given.items() for word in pair))
    assert why in (result.output if exit_code == 1 else str(result.exception))
    assert exit_code == (result.exit_code if exit_code == 1 else 2 * isinstance(result.exception, HornetError))
    assert (directory / MANIFEST_FILE).exists() == before


@pytest.mark.parametrize(
    ("damage", "failed"), [(break_seal, "[2/9] seal"), (lambda d: (d / "vm.mem").unlink(), "[1/9] snapshot files")]
)
def test_validate_says_which_step_failed_and_runs_no_guest(
    damage: Callable[[Path], object], failed: str, workspace: Workspace
) -> None:
    damage(workspace.snapshots / "v2.0")
    result = cli("validate", "v2.0")
    assert result.exit_code == 1
    assert f"FAIL    {failed}" in result.output
    assert "NOT RUN [4/9] restore and SSH" in result.output
    assert "validation: failed" in result.output


def test_validate_answers_as_data(workspace: Workspace) -> None:
    (workspace.snapshots / "v2.0" / "vm.mem").unlink()
    result = cli("validate", "v2.0", "--json")
    answer = json.loads(result.output)
    assert (result.exit_code, answer["verdict"]) == (1, "failed")
    assert answer["steps"][0]["verdict"] == "FAIL"


@pytest.mark.parametrize("command", ["validate", "new-version"])
def test_missing_snapshot_is_named(command: str, workspace: Workspace) -> None:
    script = workspace.root / "script"
    script.write_text("true")
    extra: list[str | Path] = ["v3.0", "--script", script] if command == "new-version" else []
    result = cli(command, "v9.9", *extra)
    assert isinstance(result.exception, SnapshotError)
    assert "one of: " in result.exception.hint
    assert "v1.0, v2.0" in result.exception.hint


@pytest.mark.parametrize("target", ["v2.0", "../v3.0", ".hidden", "hornetos-production", ""])
def test_new_version_rejects_a_bad_name_first(target: str, workspace: Workspace) -> None:
    script = workspace.root / "script"
    script.write_text("true")
    assert isinstance(cli("new-version", "v1.0", target, "--script", script).exception, SnapshotError)
