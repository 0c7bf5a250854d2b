"""The options of the lane firecracker/kvm on the real thing; the table of releases against what the installed one does.

The guest is the one of test_firecracker.py, which has no drivers: what only a driver in the guest could do is not seen.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from hornet.errors import HostError, VMError
from hornet.host.file_copy import clone_file
from hornet.installation import SOURCE
from hornet.spec.firecracker import Feature
from hornet.spec.model import Spec
from hornet.vm.memory import memory_split
from hornet.vmm.driver import MachineConfig
from hornet.vmm.firecracker.diff import merge
from hornet.vmm.firecracker.driver import DRIVER, FirecrackerDriver, supported
from hornet.vmm.firecracker.jailer import jailer_of
from hornet.vmm.firecracker.machine import FirecrackerVM
from hornet.vmm.firecracker.program import binary
from hornet.vmm.open_files import check_own_disk, check_shared_root
from tests.support.api_description import ApiDescription
from tests.support.tiny_guest import (
    LANE,
    LIMIT_S,
    MEMORY_MIB,
    Configured,
    Started,
    configured,
    letters,
    machine,
    program,
    require_firecracker,
    started,
)

pytestmark = pytest.mark.guest
__all__ = ["configured", "machine", "program", "started"]  # fixtures

FIRECRACKER = FirecrackerDriver()
# Options that any release has, and those that need a feature of that name.
EVERYWHERE: dict[str, Any] = {"track_dirty_pages": True, "balloon_statistics_s": 1, "vsock": True, "mmds": True}
BOOT_FEATURES: dict[Feature, Any] = {
    "free_page_reporting": True,
    "free_page_hinting": True,
    "memory_hotplug": 128,
    "pmem": "/bin/true",  # any file that everybody may read
}
OPTION_OF: dict[Feature, str] = {
    "memory_hotplug": "memory_hotplug_mib",
    "network_overrides": "override_tap",
    "pmem": "shared_file",
}
LOAD_FEATURES: dict[Feature, Any] = {"network_overrides": True, "clock_realtime": True}


@pytest.fixture(scope="module", autouse=True)
def _firecracker_works() -> None:
    require_firecracker()


@pytest.fixture
def boot(program: Path, started: Started) -> Callable[[MachineConfig], FirecrackerVM]:
    def make(config: MachineConfig) -> FirecrackerVM:
        vm = FIRECRACKER.boot(LANE, config, kernel=program, boot_args="")
        started(vm)
        vm.console.wait_for("^b$", LIMIT_S)
        return vm

    return make


@pytest.fixture
def restore(started: Started) -> Callable[..., FirecrackerVM]:
    def make(config: MachineConfig, memory: Path, state: Path) -> FirecrackerVM:
        vm = FIRECRACKER.restore(LANE, config, memory=memory, state=state)
        started(vm)
        return vm

    return make


def snapshot(vm: FirecrackerVM, directory: Path, name: str = "vm", *, diff: bool = False) -> tuple[Path, Path]:
    memory, state = directory / f"{name}.mem", directory / f"{name}.snapshot"
    vm.pause()
    vm.snapshot(memory, state, diff=diff)
    return memory, state


def written_bytes(path: Path) -> int:
    return path.stat().st_blocks * 512


def test_diff_snapshots_hold_what_was_written(configured: Configured, boot: Any, restore: Any, tmp_path: Path) -> None:
    vm = boot(configured("parent", track_dirty_pages=True))
    memory, state = snapshot(vm, tmp_path)
    before = letters(vm)
    vm.resume()
    vm.console.wait_for(f"^{chr(ord(before[-1]) + 2)}$", LIMIT_S)
    changes, later = snapshot(vm, tmp_path, "diff", diff=True)
    last = letters(vm)[-1]
    vm.kill()
    assert changes.stat().st_size == memory.stat().st_size == MEMORY_MIB << 20
    assert 0 < written_bytes(changes) < 1 << 20, "the guest writes one page"
    merge(changes, memory)
    clone = restore(configured("clone", track_dirty_pages=True), memory, later)
    clone.resume()
    clone.console.wait_for("^[a-z]$", LIMIT_S)
    assert letters(clone)[0] in (last, chr(ord(last) + 1))
    again, _ = snapshot(clone, tmp_path, "again", diff=True)
    assert 0 < written_bytes(again) < 1 << 20, "a clone's pages are tracked too"
    assert state.exists()


def test_diff_snapshot_keeps_its_holes_on_another_file_system(configured: Configured, boot: Any) -> None:
    """A page that is a hole was not written. As zeros it would be merged over what the guest had."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        vm = boot(configured("parent", track_dirty_pages=True))
        assert Path(directory).stat().st_dev != vm.config.directory.stat().st_dev
        snapshot(vm, Path(directory))
        vm.resume()
        changes, _ = snapshot(vm, Path(directory), "diff", diff=True)
        assert written_bytes(changes) < 1 << 20


def test_page_faults_are_served(configured: Configured, boot: Any, restore: Any, tmp_path: Path) -> None:
    vm = boot(configured("parent"))
    memory, state = snapshot(vm, tmp_path)
    vm.kill()
    before = memory.read_bytes()
    for name in ("first", "second"):
        clone = restore(configured(name, memory_backend="Uffd"), memory, state)
        assert clone.memory_files() == []
        clone.resume()
        clone.console.wait_for("^[c-z]$", LIMIT_S)
        clone.kill()
    assert memory.read_bytes() == before


def test_guest_runs_after_the_load(configured: Configured, boot: Any, restore: Any, tmp_path: Path) -> None:
    vm = boot(configured("parent"))
    files = snapshot(vm, tmp_path)
    vm.kill()
    clone = restore(configured("clone", resume_in_load=True), *files)
    clone.console.wait_for("^[a-z]$", LIMIT_S)
    clone.resume()
    clone.pause()


def test_disk_is_exchanged_between_load_and_resume(
    configured: Configured, boot: Any, restore: Any, tmp_path: Path
) -> None:
    vm = boot(configured("parent"))
    files = snapshot(vm, tmp_path)
    vm.kill()
    config = configured("clone")
    other = config.directory / "other.ext4"
    other.write_bytes(b"x" * (1 << 20))
    clone = restore(config, *files)
    clone.exchange_disk(other.name)
    clone.resume()
    opened = {path.stat().st_ino for path in Path(f"/proc/{clone.pid}/fd").iterdir()}
    assert other.stat().st_ino in opened


def test_options_of_every_release_are_accepted(configured: Configured, boot: Any, restore: Any, tmp_path: Path) -> None:
    config = configured("parent", **EVERYWHERE)
    vm = boot(config)
    vm.set_metadata({"latest": {"agent": "one"}})
    assert vm.balloon_statistics()["target_mib"] == 0
    assert (config.directory / "work" / "vsock.sock").is_socket()
    files = snapshot(vm, tmp_path)
    vm.kill()
    clone_config = configured("clone", **EVERYWHERE)
    restore(clone_config, *files).resume()
    assert (clone_config.directory / "work" / "vsock.sock").is_socket(), "a clone has a socket of its own"


@pytest.mark.parametrize("feature", BOOT_FEATURES)
def test_boot_feature_works_in_the_releases_of_the_table(
    feature: Feature, configured: Configured, boot: Any, spec: Spec
) -> None:
    option = OPTION_OF.get(feature, feature)
    config = configured("vm", **{option: BOOT_FEATURES[feature]})
    if spec.firecracker.has(feature, DRIVER.version()):
        boot(config)
        return
    with pytest.raises(VMError, match=f"has no {feature}, which"):
        boot(config)
    with pytest.raises(VMError, match="HTTP 400"):
        boot(_as_if_it_had(feature, config))


def test_serial_port_is_written_to_a_file(
    configured: Configured, program: Path, started: Started, spec: Spec, tmp_path: Path
) -> None:
    config = configured("vm", serial="file", vsock=True)
    if not spec.firecracker.has("serial_file", DRIVER.version()):
        with pytest.raises(VMError, match="has no serial_file, which"):
            FIRECRACKER.boot(LANE, config, kernel=program, boot_args="")
        return
    vm = started(FIRECRACKER.boot(LANE, config, kernel=program, boot_args=""))
    deadline_s = time.monotonic() + LIMIT_S
    while "b\n" not in (config.directory / "serial.log").read_text():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    assert vm.console.text == ""


@pytest.mark.parametrize("feature", LOAD_FEATURES)
def test_load_feature_works_in_the_releases_of_the_table(
    feature: Feature, configured: Configured, boot: Any, restore: Any, spec: Spec, tmp_path: Path
) -> None:
    vm = boot(configured("parent"))
    files = snapshot(vm, tmp_path)
    vm.kill()
    options = {OPTION_OF.get(feature, feature): LOAD_FEATURES[feature]}
    if spec.firecracker.has(feature, DRIVER.version()):
        clone = restore(configured("clone", **options), *files)
        clone.resume()
        clone.console.wait_for("^[a-z]$", LIMIT_S)
        return
    with pytest.raises(VMError, match=f"has no {feature}, which"):
        restore(configured("refused", **options), *files)
    with pytest.raises(VMError, match="HTTP 400"):
        restore(_as_if_it_had(feature, configured("clone", **options)), *files)


def _as_if_it_had(feature: Feature, config: MachineConfig) -> MachineConfig:
    """The driver then asks for what this release lacks: so the table does not refuse too much."""
    features = {**config.firecracker.features, feature: ["1.0.0"]}
    return replace(config, firecracker=config.firecracker.model_copy(update={"features": features}))


def test_every_option_follows_the_api_description(
    configured: Configured, pytestconfig: pytest.Config, boot: Any, restore: Any, tmp_path: Path, spec: Spec
) -> None:
    """What the release has of all options at once, in the life of a VM and of its clone."""
    if not (given := pytestconfig.getoption("api_description")):
        pytest.skip("not judged: no --api-description=FILE, Firecracker's src/firecracker/swagger/firecracker.yaml")
    description = ApiDescription.read(Path(given))
    release = supported(spec.firecracker)

    def available(features: dict[Feature, Any]) -> dict[str, Any]:
        return {OPTION_OF.get(name, name): value for name, value in features.items() if release.has(name)}

    options = {**EVERYWHERE, **available(BOOT_FEATURES)}
    parent = configured("parent", **options)
    vm = boot(parent)
    vm.set_metadata({})
    for asked in (vm.balloon_statistics, vm.start_hinting, lambda: vm.plug_memory(128)):
        with suppress(VMError):  # the guest has no drivers; the requests are judged all the same
            asked()
    memory, state = snapshot(vm, tmp_path)
    vm.kill()
    clone = configured("clone", **options, **available(LOAD_FEATURES))
    restored = restore(clone, memory, state)
    restored.exchange_disk("rootfs.ext4")
    restored.resume()
    lines = [line for config in (parent, clone) for line in (config.directory / "api.jsonl").read_text().splitlines()]
    requests = [json.loads(line)["request"] for line in lines]
    if release.has("load_tracks_dirty_pages"):
        assert [problem for request in requests for problem in description.problems(request)] == []
    print(f"API {description.version}: {description.coverage(requests)} are used")


def test_jailer_confines_firecracker(
    configured: Configured, boot: Any, restore: Any, spec: Spec, tmp_path: Path, program: Path
) -> None:
    """Booted and restored, it is the VM's user in a root directory of its own, in the VM's network namespace."""
    try:
        jailer_of(binary())
    except HostError as error:
        pytest.skip(f"not judged: {error.message}")
    group = spec.firecracker.memory_group
    vm = boot(configured("parent", jailer=True))
    files = snapshot(vm, tmp_path)
    clones = [restore(configured(name, jailer=True), *files) for name in ("first", "second")]
    for clone in clones:
        clone.resume()
        clone.console.wait_for("^[a-z]$", LIMIT_S)
        check_own_disk(clone.pid, clone.config.disk)
        assert memory_split(clone.pid, clone.memory_files()).guest_private > 0
    for each in (vm, *clones):
        status = Path(f"/proc/{each.pid}/status").read_text()
        assert f"Uid:\t{each.config.user}\t" in status
        assert f"Gid:\t{group}\t" in status
        assert "CapEff:\t0000000000000000" in status
        assert not Path(f"/proc/{each.pid}/root/etc").exists()
        assert each.config.card
        namespace = Path("/run/netns", each.config.card.namespace).stat().st_ino
        assert Path(f"/proc/{each.pid}/ns/net").stat().st_ino == namespace
    assert len({each.config.user for each in (vm, *clones)}) == 3
    with pytest.raises(VMError, match="another VM uses it"):
        FIRECRACKER.boot(LANE, clones[0].config, kernel=program, boot_args="")
    pid = clones[0].pid
    clones[0].kill()
    assert not Path(f"/proc/{pid}").exists()


@pytest.fixture
def shared(configured: Configured, spec: Spec) -> Configured:
    """A machine with a shared root, for releases that have it. root: of a snapshot; else the machine's own copy."""
    if not supported(spec.firecracker).has("pmem"):
        pytest.skip("not judged: this release has no pmem")

    def make(name: str, root: Path | None = None, **options: Any) -> MachineConfig:
        config = configured(name, **options)
        return replace(config, shares_root=True, disk=root or config.disk)

    return make


@pytest.mark.parametrize("jailer", [False, True])
def test_clones_map_one_root_that_none_can_write(
    jailer: bool, shared: Configured, boot: Any, restore: Any, spec: Spec, tmp_path: Path
) -> None:
    parent = boot(shared("parent", jailer=jailer))
    files = snapshot(parent, tmp_path)
    root = tmp_path / "rootfs.ext4"
    clone_file(parent.config.disk, root)
    FIRECRACKER.share_root(root, spec.firecracker)
    before = root.stat()
    for name in ("first", "second"):
        clone = restore(shared(name, root, jailer=jailer), *files)
        check_shared_root(clone.pid, root, clone.config.directory)
        clone.resume()
        clone.console.wait_for("^[a-z]$", LIMIT_S)
        assert memory_split(clone.pid, clone.memory_files()[1:]), "the root is memory of the guest"
    assert root.stat()[:9] == before[:9], "neither its content nor its owner changed"


def test_firecracker_may_not_open_a_shared_root_for_writing(
    shared: Configured, boot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"id": "root", "path_on_host": "../root", "root_device": False, "read_only": False}
    monkeypatch.setattr("hornet.vmm.firecracker.requests._pmem", lambda _: ("/pmem/root", body))
    with pytest.raises(VMError, match=r"Permission denied|Read-only file system"):
        boot(shared("parent"))


def test_jailer_limits_the_control_group(configured: Configured, boot: Any) -> None:
    try:
        jailer_of(binary())
    except HostError as error:
        pytest.skip(f"not judged: {error.message}")
    root = Path("/sys/fs/cgroup")
    if not os.access(root if (root / "cgroup.controllers").exists() else root / "pids", os.W_OK):
        pytest.skip("not judged: this host's control groups can't be changed")
    vm = boot(configured("limited", jailer=True, jailer_cgroups=["pids.max=77"]))
    group = next(line for line in Path(f"/proc/{vm.pid}/cgroup").read_text().split() if "hornetos" in line)
    (limit,) = {*root.glob("hornetos/limited/pids.max"), *root.glob("*/hornetos/limited/pids.max")}
    assert group.endswith("hornetos/limited")
    assert limit.read_text() == "77\n"
    vm.kill()
    assert not limit.exists()


SECOND = """
import os, sys
from pathlib import Path
from hornet.vmm.process import start_jailer
started = start_jailer(["sleep", "1000"], log=Path(sys.argv[1]), stdio=(0, 1))
print(started.pid, flush=True)
sys.stdin.read()
"""


def test_jailed_process_ends_with_the_one_that_started_it(tmp_path: Path) -> None:
    words = [sys.executable, "-c", SECOND, str(tmp_path / "log")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=SOURCE) as parent:
        assert parent.stdout
        started = psutil.Process(int(parent.stdout.readline()))
        deadline_s = time.monotonic() + LIMIT_S
        while not (sleeps := [each for each in started.children(recursive=True) if each.name() == "sleep"]):
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        parent.kill()
    assert psutil.wait_procs(sleeps, LIMIT_S)[1] == []
