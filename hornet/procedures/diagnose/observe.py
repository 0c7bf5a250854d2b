"""Observes a VM of any process of this HORNET_HOME: state file, network, console, and the guest over SSH."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from hornet.errors import GuestError, VMError
from hornet.foreign_file import ForeignFileError, MissingFileError, open_foreign
from hornet.host.workspace import Workspace
from hornet.network import HostNet, VMNamespace, netns, nft
from hornet.network.ids import vms_directory
from hornet.network.reconcile import egress
from hornet.network.state import NetFacts, read_facts, rules_as_listed
from hornet.procedures.diagnose.observations import FULL_PERCENT, Inside, Observations, Place, Port
from hornet.spec.model import Spec
from hornet.vm.guest import SSH_PORT, Guest, SshKey
from hornet.vm.probes import Probe
from hornet.vm.state import STATE_FILE, VMState, read_state, vmm_runs

PING_TIMEOUT_S = 2.0
PORT_TIMEOUT_S = 3.0
LOGIN_TIMEOUT_S = 30.0
TEXT_BYTES = 1 << 18
MAX_LOG_BYTES = 1 << 40
# Where programs write. With a read-only root, the last two are separate file systems.
WRITTEN_TO = "/ /var /tmp"
PROBES = [
    Probe("space", f"df -P {WRITTEN_TO}"),
    Probe("inodes", f"df -P -i {WRITTEN_TO}"),
    Probe("log", "dmesg"),
]
# From the guide. It takes a while, so it runs only if a disk is full.
BIGGEST = Probe("biggest", "du -xsk /* 2>/dev/null | sort -rn | head -n 4", 60)


@dataclass(frozen=True)
class KnownVM:
    """A VM as its state file describes it."""

    place: Place
    namespace: VMNamespace
    directory: Path
    state: VMState
    key: SshKey


def find_vm(workspace: Workspace, spec: Spec, name: str) -> KnownVM:
    """The VM of that name. Raises VMError, naming the existing VMs, if it does not exist or is being started."""
    directory = vms_directory(workspace) / name
    try:
        state = read_state(directory / STATE_FILE)
    except MissingFileError:
        known = sorted(path.parent.name for path in vms_directory(workspace).glob(f"*/{STATE_FILE}"))
        what = "is being started" if directory.is_dir() else "there is no such VM"
        raise VMError(f"VM {name}: {what}", f"VMs of {workspace.root}: {', '.join(known) or 'none'}") from None
    network, private = spec.network, state.private_host
    host = HostNet.private(network, private) if private else HostNet.machine(network)
    namespace = host.vm(state.vm_id)
    place = Place(
        network=network,
        plan=namespace.plan,
        private=private,
        inner_rules=rules_as_listed(nft.namespace_rules(network)),
        host_rules=rules_as_listed(nft.host_rules(network, host.uplinks)),
    )
    key = SshKey(Path(state.ssh_key), "")
    return KnownVM(place, namespace, directory, state, key)


def observe(vm: KnownVM) -> Observations:
    """Observe everything, in bounded time and without changing anything."""
    seen = Observations(
        vmm_alive=_vmm_alive(vm),
        vmm_log=_text(vm.directory / "vmm.log"),
        restored=vm.state.snapshot is not None,
        console=_text(vm.directory / "console.log"),
        inner=_net(vm.namespace.name),
        host=_net(vm.namespace.host.namespace),
    )
    if seen.inner and seen.host and vm.place.plan.host_veth in seen.host.links:
        seen = replace(seen, egress=egress(vm.namespace.host, vm.state.vm_id))
    if not seen.vmm_alive or seen.inner is None:
        return seen
    return _with_guest(vm, seen)


def _vmm_alive(vm: KnownVM) -> bool:
    try:
        return vmm_runs(vm.directory / STATE_FILE, vm.state)
    except FileNotFoundError:
        return False  # its VM has just ended


def _with_guest(vm: KnownVM, seen: Observations) -> Observations:
    address = str(vm.place.network.guest_address.ip)
    guest = Guest(vm.namespace, address, vm.key)
    try:
        pinged, port = _replies(guest), _port(vm.namespace, address)
        # A refused connection is an answer of the guest's kernel, too.
        seen = replace(seen, replies=pinged or port is not Port.SILENT, ignores_pings=not pinged)
        if not seen.replies:
            return seen
        seen = replace(seen, port=port)
        if seen.port is not Port.OPEN:
            return seen
        inside = _inside(guest)
        return replace(seen, login_error="", inside=inside)
    except GuestError as error:
        return replace(seen, login_error=error.message)
    finally:
        guest.close()


def _replies(guest: Guest) -> bool:
    try:
        guest.await_reply(PING_TIMEOUT_S, ["ping"])
    except GuestError:
        return False
    return True


def _port(namespace: VMNamespace, address: str) -> Port:
    try:
        namespace.connect(address, SSH_PORT, PORT_TIMEOUT_S).close()
    except ConnectionRefusedError:
        return Port.REFUSED
    except OSError:
        return Port.SILENT
    return Port.OPEN


def _inside(guest: Guest) -> Inside:
    facts = guest.ask(PROBES, {}, LOGIN_TIMEOUT_S)
    space, inodes = _percentages(facts["space"].output), _percentages(facts["inodes"].output)
    biggest = ""
    if max([*space.values(), *inodes.values()], default=0) >= FULL_PERCENT:
        biggest = _sizes(guest.ask([BIGGEST], {}, LOGIN_TIMEOUT_S)["biggest"].output)
    return Inside(space, inodes, biggest, facts["log"].output)


def _sizes(table: str) -> str:
    """Sizes that `du -k` printed, in MiB; other lines are ignored."""
    found = re.findall(r"^([0-9]{1,15})\s+(/\S*)$", table, re.MULTILINE)
    return ", ".join(f"{path} {int(kib) // 1024} MiB" for kib, path in found)


def _percentages(table: str) -> dict[str, int]:
    """Percentages in use by mount point, from `df -P`, which prints "-" for a file system without inodes."""
    found = {mount: int(percent) for percent, mount in re.findall(r"([0-9]{1,3})% (/\S*)$", table, re.MULTILINE)}
    if "/" not in found and " -" not in table:
        raise GuestError(f"df in the guest printed {table.strip()!r}, expected percentages", "is df in the image?")
    return found


def _text(path: Path) -> str:
    """The end of a log; empty if there is none."""
    try:
        with open_foreign(path, MAX_LOG_BYTES, follow_links=False) as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - TEXT_BYTES))
            return stream.read(TEXT_BYTES).decode("utf-8", "replace").replace("\r\n", "\n")
    except MissingFileError:
        return ""
    except ForeignFileError as error:
        return error.message


def _net(namespace: str | None) -> NetFacts | None:
    """The state of a namespace; None if it does not exist."""
    if namespace is not None and (not netns.exists(namespace) or netns.is_empty_mark(namespace)):
        return None
    return netns.enter(namespace, read_facts)
