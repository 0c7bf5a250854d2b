"""Boot and restore VMs with Firecracker."""

from __future__ import annotations

from pathlib import Path

from hornet.errors import HornetError, VMError
from hornet.host.artifact_store import file_sha256
from hornet.host.phases import timed
from hornet.host.tools import HostTool
from hornet.spec.firecracker import Firecracker
from hornet.spec.lane import Lane
from hornet.vmm.driver import Driver, MachineConfig
from hornet.vmm.firecracker import program as installed
from hornet.vmm.firecracker.machine import KERNEL, METRICS_FILE, STATE, FirecrackerVM
from hornet.vmm.firecracker.requests import Release, Request, boot_requests, require_shared_root
from hornet.vmm.firecracker.work import share_memory
from hornet.vmm.process import open_given, prepare_jail

METRICS_REQUEST = Request("PUT", "/metrics", {"metrics_path": METRICS_FILE})


class FirecrackerDriver:
    """Firecracker's driver."""

    program_variable = installed.VARIABLE

    @property
    def program(self) -> HostTool:
        return installed.program()

    def version(self) -> str:
        return installed.version()

    def snapshot_format(self) -> str:
        return installed.snapshot_format()

    def hazards(self, firecracker: Firecracker, guest_kernel: str) -> list[str]:
        version = installed.version()
        found = firecracker.hazards_of(version, guest_kernel)
        return [f"Firecracker {version}: {name}: {text}" for name, text in found.items()]

    def prepare(self) -> None:
        """Ask for the version and build the jail, so that the first VM does not wait for them."""
        installed.version()
        prepare_jail("cells")

    def lane_settings(self, lane: Lane, firecracker: Firecracker) -> dict[str, str]:
        """The lane's options: devices, and how memory is backed. Files count by their content."""
        settings = {name: str(value) for name, value in firecracker.options.model_dump().items()}
        files = {name: Path(settings[name]) for name in ("shared_file", "cpu_config") if settings[name]}
        return settings | {name: file_sha256(path) for name, path in files.items()}

    def check_shared_root(self, firecracker: Firecracker) -> None:
        require_shared_root(supported(firecracker))

    def share_root(self, disk: Path, firecracker: Firecracker) -> None:
        share_memory(disk, firecracker.memory_group)

    def boot(self, lane: Lane, config: MachineConfig, *, kernel: Path, boot_args: str) -> FirecrackerVM:
        release = supported(config.firecracker)
        requests = boot_requests(config, release, kernel=KERNEL, boot_args=boot_args)
        with open_given(kernel) as stream:
            vm = FirecrackerVM(lane, config, release, copied={KERNEL: stream})
        try:
            for request in requests:
                vm.send(request)
        except HornetError as error:
            vm.give_up(error)
        return vm

    def restore(
        self, lane: Lane, config: MachineConfig, *, memory: Path, state: Path, snapshottable: bool = False
    ) -> FirecrackerVM:
        """See Driver. snapshottable has no effect: every clone can be snapshotted."""
        release = supported(config.firecracker)
        with open_given(memory) as ram, open_given(state) as stream:
            share_memory(memory, config.firecracker.memory_group)
            vm = FirecrackerVM(lane, config, release, copied={STATE: stream}, memory=memory)
            try:
                with timed(config.phases_ms, "metrics_ms"):
                    vm.send(METRICS_REQUEST)
                with timed(config.phases_ms, "load_ms"):
                    vm.load(ram)
            except HornetError as error:
                vm.give_up(error)
        return vm


DRIVER: Driver = FirecrackerDriver()


def supported(table: Firecracker) -> Release:
    """The installed release. Raises VMError for one that is too old."""
    version = installed.version()
    if not table.supports(version):
        raise VMError(
            f"{installed.program().name} is version {version}, expected {table.oldest} or newer",
            "take a newer release binary",
        )
    return Release(version, table)
