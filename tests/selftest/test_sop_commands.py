"""The guide's procedures as commands, as far as they need no guest: adopt, rollback, and what validate refuses."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner, Result

from hornet.errors import HornetError, SnapshotError
from hornet.host.workspace import Workspace
from hornet.procedures.new_version import NewVersion, Watcher
from hornet.procedures.validate import Step
from hornet.snapshot import Bundle, open_bundle, production
from hornet.snapshot.manifest import MANIFEST_FILE
from hornet.vm.guest_script import Result as GuestResult
from hornet.vm.state import STATE_FILE, VMState
from hornet_cli.app import app
from reports.schemas import schema_of
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


def answered(name: str, result: Result) -> dict[str, Any]:
    """What a command printed with --json, if it conforms to its schema."""
    answer: dict[str, Any] = json.loads(result.stdout)
    Draft202012Validator(schema_of(name)).validate(answer)
    return answer


def test_rollback_answers_as_data(workspace: Workspace) -> None:
    note_running_vm(workspace, "vm1", workspace.snapshots / "v1.0", os.getpid())
    answer = answered("rollback", cli("rollback", "v2.0", "--json"))
    assert (answer["switched"], answer["production"], answer["before"]) == (True, "v2.0", "v1.0")
    assert [it["vm"] for it in answer["others"]] == ["vm1"]
    break_seal(workspace.snapshots / "v1.0")
    result = cli("rollback", "v1.0", "--json")
    answer = answered("rollback", result)
    assert (result.exit_code, answer["switched"], answer["production"]) == (1, False, "v2.0")
    assert "vm.mem: SHA-256" in answer["problem"]


def test_adopt_answers_as_data(workspace: Workspace) -> None:
    options = ["--lane", "firecracker/kvm", "--tier", "standard", "--vmm-version", "1.7.0", "--json"]
    sound, damaged = workspace.snapshots / "v2.0", workspace.snapshots / "v1.0"
    take_seal_off(sound)
    answer = answered("adopt", cli("adopt", sound, *options))
    assert (answer["verdict"], answer["damage"], answer["origin"]["adopted"]) == ("sealed", [], True)
    damage_disk(damaged)
    result = cli("adopt", damaged, *options)
    answer = answered("adopt", result)
    assert (result.exit_code, answer["verdict"], answer["origin"]) == (1, "damaged", None)
    assert answer["damage"]


STEPS = [Step("seal", "PASS", []), Step("restore and SSH", "FAIL", ["no answer"])]
NEW_VERSIONS: dict[str, tuple[Callable[[Bundle], NewVersion], int]] = {
    "published": (lambda bundle: NewVersion(0, [], bundle), 0),
    "script failed": (lambda bundle: NewVersion(3, [], None), 1),
    "not valid": (lambda bundle: NewVersion(0, STEPS[1:], None), 1),
    "not judged": (lambda bundle: NewVersion(0, [Step("tools", "NOT JUDGED", [])], None), 2),
}


@pytest.mark.parametrize("verdict", NEW_VERSIONS)
def test_new_version_answers_as_data(verdict: str, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mock of the guest's part: what is tested is the answer."""
    outcome, exit_code = NEW_VERSIONS[verdict]

    def make(vms: object, old: Bundle, *_: object, watcher: Watcher, **__: object) -> NewVersion:
        watcher.script_ended(GuestResult("said\x1b[31m", "", 0))
        for step in STEPS:
            watcher.judged(step)
        return outcome(old)

    monkeypatch.setattr("hornet.procedures.new_version.make_new_version", make)
    monkeypatch.setattr("hornet_cli.new_version.fleet", lambda *_, **__: nullcontext())
    script = workspace.root / "script"
    script.write_text("true")
    result = cli("new-version", "v1.0", "v3.0", "--script", script, "--json")
    answer = answered("new-version", result)
    assert (result.exit_code, answer["verdict"]) == (exit_code, verdict)
    assert (answer["published"] is None) == (verdict != "published")
    assert "\x1b" not in answer["script_output"]
    assert [step["verdict"] for step in answer["steps"]] == ["PASS", "FAIL"]


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
    answer = answered("validate", result)
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
