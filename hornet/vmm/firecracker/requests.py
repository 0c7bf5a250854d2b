"""What the driver asks of Firecracker, as data (Firecracker: src/firecracker/swagger/firecracker.yaml).

Each function knows from the release what it may ask. Raises VMError for an option that the release does not have.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hornet.errors import VMError
from hornet.foreign_file import ForeignFileError, read_json
from hornet.spec.firecracker import Feature, Firecracker, FirecrackerOptions
from hornet.vmm.driver import MachineConfig

DISK, CARD = "rootfs", "eth0"
# Relative to the VM's directory, so that a clone has its own.
VSOCK_SOCKET = "vsock.sock"
SERIAL_FILE = "serial.log"
# Beside the working directory (cell.py). Relative, because snapshots hold the path.
SHARED_FILE, ROOT = "shared", "root"
CONSOLE_ARGUMENT = "console=ttyS0"
# Linux then drives no serial port (Firecracker: docs/prod-host-setup.md).
NO_SERIAL_ARGUMENT = "8250.nr_uarts=0"
# With it Linux reports free pages only to a device that keeps their content; Firecracker's does not say that it does
# (Linux: virtballoon_validate()).
ZEROED = "init_on_free=1"
GUEST_CID = 3
MMDS_ADDRESS = "169.254.169.254"
# Firecracker's own templates have some KiB.
MAX_CPU_CONFIG_BYTES = 1 << 20

Body = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """One request to the API."""

    method: str
    path: str
    body: Body


@dataclass(frozen=True)
class Release:
    """The Firecracker that is asked: its version, and the table that says what it can do."""

    version: str
    table: Firecracker

    def has(self, feature: Feature) -> bool:
        """Whether it has a feature."""
        return self.table.has(feature, self.version)

    def require(self, feature: Feature, option: str) -> None:
        """Raises VMError if it lacks a feature that an option of the lane needs."""
        self.require_for(f"firecracker.options.{option}", feature)

    def require_for(self, option: str, feature: Feature) -> None:
        """Raises VMError if it lacks a feature that something in the spec needs."""
        if not self.has(feature):
            first = ", ".join(self.table.features[feature])
            raise VMError(
                f"Firecracker {self.version} has no {feature}, which {option} needs: expected {first} or newer",
                "take a newer Firecracker (--firecracker), or leave the option out",
            )

    @property
    def options(self) -> FirecrackerOptions:
        """The options of the lane."""
        return self.table.options


def boot_requests(config: MachineConfig, release: Release, *, kernel: str, boot_args: str) -> list[Request]:
    """Everything that makes a VM and starts it, in order. kernel: its path as Firecracker sees it."""
    options = release.options
    bodies: list[tuple[str, Body]] = [
        ("/machine-config", _machine(config, release)),
        ("/boot-source", {"kernel_image_path": kernel, "boot_args": _boot_args(boot_args, options)}),
        _root(config, release),
        ("/balloon", _balloon(release, boot_args)),
        ("/entropy", {}),
    ]
    if options.cpu_config:
        bodies.append(("/cpu-config", _cpu_config(Path(options.cpu_config))))
    if config.card:
        card = {"iface_id": CARD, "host_dev_name": config.card.tap, "guest_mac": config.card.mac}
        bodies.append((f"/network-interfaces/{CARD}", card))
    if options.mmds:
        mmds = {"version": "V2", "network_interfaces": [CARD], "ipv4_address": MMDS_ADDRESS}
        bodies.append(("/mmds/config", mmds))
    if options.vsock:
        bodies.append(("/vsock", {"guest_cid": GUEST_CID, "uds_path": VSOCK_SOCKET}))
    if options.serial == "file":
        release.require("serial_file", "serial")
        bodies.append(("/serial", {"serial_out_path": SERIAL_FILE}))
    if options.shared_file:
        release.require("pmem", "shared_file")
        bodies.append(_pmem(SHARED_FILE))
    if options.memory_hotplug_mib:
        release.require("memory_hotplug", "memory_hotplug_mib")
        bodies.append(("/hotplug/memory", {"total_size_mib": options.memory_hotplug_mib}))
    return [Request("PUT", path, body) for path, body in [*bodies, ("/actions", {"action_type": "InstanceStart"})]]


def _cpu_config(path: Path) -> Body:
    """A CPU template of the user's own. Raises VMError if it is no JSON object."""
    try:
        found = read_json(path, MAX_CPU_CONFIG_BYTES)
        problem = "" if isinstance(found, dict) else f"{path}: no JSON object"
    except ForeignFileError as error:
        problem = error.message
    if problem:
        raise VMError(f"firecracker.options.cpu_config: {problem}", "name a CPU template of Firecracker")
    return dict(found)


def _root(config: MachineConfig, release: Release) -> tuple[str, Body]:
    """The device of the root file system; before the other ones of its kind, so that it is the first.

    Not the root device: Firecracker would append `root=/dev/vda rw` to the boot arguments, after a `ro` of ours. They
    name the root themselves.
    """
    if config.shares_root:
        require_shared_root(release)
        return _pmem(ROOT)
    drive = {"drive_id": DISK, "path_on_host": config.disk.name, "is_root_device": False, "is_read_only": False}
    return f"/drives/{DISK}", drive


def require_shared_root(release: Release) -> None:
    """Raises VMError if guests of this release can't share their root file system."""
    release.require_for('root = "shared" of a tier', "pmem")


def _pmem(name: str) -> tuple[str, Body]:
    return f"/pmem/{name}", {"id": name, "path_on_host": f"../{name}", "root_device": False, "read_only": True}


def _boot_args(boot_args: str, options: FirecrackerOptions) -> str:
    if options.serial != "off":
        return boot_args
    words = [word for word in boot_args.split() if not word.startswith(CONSOLE_ARGUMENT)]
    return " ".join([*words, NO_SERIAL_ARGUMENT])


def _machine(config: MachineConfig, release: Release) -> Body:
    options = release.options
    body: Body = {"vcpu_count": config.vcpus, "mem_size_mib": config.memory_mib}
    if options.track_dirty_pages:
        body["track_dirty_pages"] = True
    if options.huge_pages != "None":
        transparent = options.huge_pages == "Transparent"
        release.require("transparent_huge_pages" if transparent else "huge_pages", "huge_pages")
        body["huge_pages"] = options.huge_pages
    if options.cpu_template != "None":
        body["cpu_template"] = options.cpu_template
    return body


def _balloon(release: Release, boot_args: str) -> Body:
    options = release.options
    body: Body = {"amount_mib": 0, "deflate_on_oom": options.deflate_on_oom}
    if options.balloon_statistics_s:
        body["stats_polling_interval_s"] = options.balloon_statistics_s
    if options.free_page_reporting:
        release.require("free_page_reporting", "free_page_reporting")
        if [word for word in boot_args.split() if word.startswith("init_on_free=")][-1:] == [ZEROED]:
            raise VMError(
                f"firecracker.options.free_page_reporting has no effect on a guest with {ZEROED}",
                "leave the option out (free_page_hinting works with both), or boot with init_on_free=0",
            )
        body["free_page_reporting"] = True
    if options.free_page_hinting:
        release.require("free_page_hinting", "free_page_hinting")
        body["free_page_hinting"] = True
    return body


def create_request(release: Release, *, memory: str, state: str, diff: bool) -> Request:
    """Write the paused VM's memory and device state. diff: only pages written since the last snapshot or the load."""
    if diff and not release.options.track_dirty_pages:
        release.require("diff_without_tracking", "track_dirty_pages = false, with a diff snapshot,")
    kind = "Diff" if diff else "Full"
    return Request("PUT", "/snapshot/create", {"snapshot_type": kind, "snapshot_path": state, "mem_file_path": memory})


def load_request(config: MachineConfig, release: Release, *, backend: str, state: str) -> Request:
    """Load a snapshot. backend: the path of the memory file or, for Uffd, of the page server's socket."""
    options = release.options
    body: Body = {
        "snapshot_path": state,
        "mem_backend": {"backend_type": options.memory_backend, "backend_path": backend},
        "resume_vm": options.resume_in_load,
    }
    if options.track_dirty_pages:
        tracks = release.has("load_tracks_dirty_pages")
        body["track_dirty_pages" if tracks else "enable_diff_snapshots"] = True
    if options.override_tap and config.card:
        release.require("network_overrides", "override_tap")
        body["network_overrides"] = [{"iface_id": CARD, "host_dev_name": config.card.tap}]
    if options.override_vsock:
        release.require("vsock_override", "override_vsock")
        body["vsock_override"] = {"uds_path": VSOCK_SOCKET}
    if options.clock_realtime:
        release.require("clock_realtime", "clock_realtime")
        body["clock_realtime"] = True
    if release.options.huge_pages != "None" and release.has("load_huge_pages"):
        body["huge_pages"] = options.huge_pages
    return Request("PUT", "/snapshot/load", body)
