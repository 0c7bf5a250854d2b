"""Linux in Firecracker's own jailer, with its serial port in a file, page reporting and CPU templates.

Without hardware KVM, run it in the lab, with the jailer beside Firecracker:
    pytest --lab --slow --lane=firecracker/kvm --overlay=lab/busy.toml tests/guest/test_firecracker_confined.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hornet.errors import HostError, VMError
from hornet.host.artifact_store import file_sha256
from hornet.host.workspace import Workspace
from hornet.scenarios.balloon import use_free_memory
from hornet.spec.firecracker import Feature
from hornet.spec.lane import Lane
from hornet.spec.model import Spec
from hornet.vm.fleet import VM, Fleet
from hornet.vm.memory import pss_mb
from hornet.vm.snapshotting import origin_of, take_snapshot
from hornet.vmm.firecracker.jailer import jailer_of
from hornet.vmm.firecracker.program import binary
from hornet.vmm.firecracker.requests import SERIAL_FILE
from hornet.vmm.open_files import check_own_disk
from hornet_fixtures.under_test import Image
from tests.support.firecracker_options import (
    TAKEN_MIB,
    OptionsFleet,
    eventually,
    has,
    is_firecracker,
    of_this_release,
    options_fleet,
    run,
)

pytestmark = [pytest.mark.guest, pytest.mark.slow]
__all__ = ["is_firecracker", "options_fleet"]  # fixtures

# As production would have it: the jailer, and the serial port's output in a file.
CONFINED: dict[str, Any] = {"jailer": True, "vsock": True, "serial": "off"}
CONFINED_FEATURES: dict[Feature, dict[str, Any]] = {
    "serial_file": {"serial": "file"},
    "free_page_reporting": {"free_page_reporting": True},
}
# Leaf 7, EBX: bit 29 is SHA, bit 18 is RDSEED. Nothing in the guest needs them.
HIDDEN_FLAGS = {"sha_ni", "rdseed"}
HIDING = {
    "cpuid_modifiers": [
        {
            "leaf": "0x7",
            "subleaf": "0x0",
            "flags": 1,
            "modifiers": [{"register": "ebx", "bitmap": f"0bxx0{'x' * 10}0{'x' * 18}"}],
        }
    ]
}
STATIC_TEMPLATES = {"AuthenticAMD": "T2A", "GenuineIntel": "T2"}
CPUINFO = Path("/proc/cpuinfo")


def cpu_line(cpuinfo: str, name: str) -> str:
    return next(line.partition(":")[2].strip() for line in cpuinfo.splitlines() if line.startswith(name))


@pytest.fixture(scope="module")
def confined_fleet(
    options_fleet: OptionsFleet, spec: Spec, lane: Lane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fleet]:
    try:
        jailer_of(binary())
    except HostError as error:
        pytest.skip(f"not judged: {error.message}")
    template = tmp_path_factory.mktemp("template") / "hiding.json"
    template.write_text(json.dumps(HIDING))
    options = CONFINED | of_this_release(spec.firecracker, lane, CONFINED_FEATURES)
    with options_fleet(**options, cpu_config=str(template)) as made:
        yield made


@pytest.fixture(scope="module")
def confined(confined_fleet: Fleet, kernel: Path, image: Image) -> VM:
    # Otherwise it would report no free pages.
    vm = confined_fleet.boot(kernel, image.path, extra_boot_args="init_on_free=0")
    vm.guest.wait_ready(confined_fleet.spec.machine.ssh_timeout_s)
    return vm


def test_jailer_confines_a_guest(confined: VM) -> None:
    status = Path(f"/proc/{confined.vmm.pid}/status").read_text()
    assert f"Uid:\t{confined.vmm.config.user}\t" in status
    assert "CapEff:\t0000000000000000" in status
    assert not Path(f"/proc/{confined.vmm.pid}/root/etc").exists()
    assert run(confined, "node -e 'console.log(6 * 7)'") == "42"


def test_serial_port_is_written_to_a_file(confined: VM, confined_fleet: Fleet) -> None:
    has(confined_fleet, "serial_file")
    run(confined, "echo printed by the guest >/dev/ttyS0")
    log = confined.vmm.config.directory / SERIAL_FILE
    eventually(lambda: log.read_text().count("printed by the guest"), lambda count: count == 1)
    assert "Linux version" in log.read_text() or "hornet" in log.read_text(), log.read_text()
    assert confined.vmm.console.text == ""


def test_free_pages_are_returned_without_being_asked_for(confined: VM, confined_fleet: Fleet) -> None:
    """The guest writes to all its memory and frees it. Without reporting, the host would never get it back."""
    has(confined_fleet, "free_page_reporting")
    use_free_memory(confined)
    eventually(
        lambda: pss_mb(confined.vmm.pid), lambda mb: mb < confined_fleet.spec.machine.memory_mib * 1.048576 - TAKEN_MIB
    )


def test_cpu_template_of_ones_own_hides_features(confined: VM) -> None:
    host, guest = (
        set(cpu_line(text, "flags").split()) for text in (CPUINFO.read_text(), run(confined, f"cat {CPUINFO}"))
    )
    if not host & HIDDEN_FLAGS:
        pytest.skip(f"not judged: this host's processor has none of {', '.join(sorted(HIDDEN_FLAGS))}")
    assert not guest & HIDDEN_FLAGS


def test_jailed_guest_is_restored(
    confined: VM, confined_fleet: Fleet, kernel: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    origin = origin_of(
        confined,
        confined_fleet.spec,
        kernel_sha256=file_sha256(kernel),
        tier="standard",
        ssh_public_blob=confined_fleet.key.public_blob,
    )
    workspace = Workspace(tmp_path_factory.mktemp("confined"))
    bundle = take_snapshot(confined, workspace, confined_fleet.spec, version="v1.0", origin=origin)
    confined_fleet.remove(confined)
    clones = [confined_fleet.restore(bundle) for _ in range(2)]
    for vm in clones:
        assert run(vm, "node -e 'console.log(6 * 7)'") == "42"
        check_own_disk(vm.vmm.pid, vm.vmm.config.disk)
    assert len({vm.vmm.config.user for vm in clones}) == 2


def test_static_cpu_template_hides_features(
    options_fleet: OptionsFleet, kernel: Path, image: Image, spec: Spec
) -> None:
    vendor = cpu_line(CPUINFO.read_text(), "vendor_id")
    with options_fleet(cpu_template=STATIC_TEMPLATES[vendor]) as plain:
        try:
            vm = plain.boot(kernel, image.path)
        except VMError as error:
            if "CPU" not in error.message:
                raise
            pytest.skip(
                f"not judged: Firecracker refuses {STATIC_TEMPLATES[vendor]} on this processor: {error.message}"
            )
        vm.guest.wait_ready(spec.machine.ssh_timeout_s)
        assert not set(cpu_line(run(vm, f"cat {CPUINFO}"), "flags").split()) & HIDDEN_FLAGS
