"""Finds the lanes that work on this host, proved by use, and the reasons why others do not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from hornet.errors import CommandError, HornetError, HostError
from hornet.foreign_file import ForeignFileError, read_bytes
from hornet.host.artifact_store import content_key, file_sha256
from hornet.host.durable import write_file
from hornet.host.emulation import cpu_is_emulated, patient_s
from hornet.host.file_copy import PRIVATE_DIRECTORY_MODE, open_private
from hornet.host.owned import work_directory
from hornet.host.workspace import Workspace
from hornet.spec.firecracker import Firecracker
from hornet.spec.lane import Lane
from hornet.spec.model import Spec
from hornet.vm import first_program, kvm
from hornet.vmm.driver import MachineConfig
from hornet.vmm.failure import VMFailedError
from hornet.vmm.registry import LANES, driver_of, lane_named, vmm_programs, vmm_version

# From the start of the VMM to the kernel's last line. It takes about a second if the lane works.
BOOT_TIMEOUT_S = 20.0
PROBE_BOOT_ARGS = (
    f"console=ttyS0 earlyprintk=serial,ttyS0 root=/dev/vda ro rootfstype=ext4 init={first_program.PATH} "
    "reboot=t panic=-1"
)


@dataclass(frozen=True)
class LaneState:
    """A lane and whether it works. usable: None if not proved, because a kernel or something on the host is missing."""

    lane: str
    usable: bool | None
    reason: str

    @property
    def judges_time(self) -> bool:
        """Whether times and densities are judged in this lane, on this host."""
        return judges_time(lane_named(self.lane))


_STATE = TypeAdapter(LaneState)
MAX_PROOF_BYTES = 64 << 10


def judges_time(lane: Lane) -> bool:
    """Whether this host judges times and densities in a lane: not if its processor is emulated, as in the lab."""
    return lane.judges_time and not cpu_is_emulated()


def probe_lanes(workspace: Workspace, kernel: Path | None, spec: Spec) -> list[LaneState]:
    """The state of every lane, best first. A proof is cached until host or kernel change, a failure only of KVM."""
    return [_probe(lane, workspace, kernel, spec) for lane in LANES]


def best_lane(states: Sequence[LaneState]) -> Lane:
    """The first lane that works. Raises HostError with every reason if none does."""
    for state in states:
        if state.usable:
            return lane_named(state.lane)
    reasons = "\n  ".join(f"{state.lane}: {state.reason}" for state in states)
    hints = ", or ".join(tool.install_hint for tool in vmm_programs().values() if tool.required)
    raise HostError(f"no lane works on this host:\n  {reasons}", f"{hints}: ./hornetos host does")


def require_lane(workspace: Workspace, kernel: Path, spec: Spec, name: str) -> Lane:
    """The named lane, unless this host has shown that it does not work. Raises HostError with the reason."""
    lane = lane_named(name)
    state = _probe(lane, workspace, kernel, spec)
    if state.usable is False:
        raise HostError(
            f"lane {name} does not work on this host: {state.reason}", "`hornetos host` shows which lanes work"
        )
    return lane


def require_program(lane: Lane) -> None:
    """Raises HostError if the lane's VMM is not installed."""
    if missing := _missing_program(lane):
        raise HostError(f"lane {lane}: {missing}", "`hornetos host` shows which lanes work")


def _probe(lane: Lane, workspace: Workspace, kernel: Path | None, spec: Spec) -> LaneState:
    missing = _missing(lane)
    if missing:
        return LaneState(str(lane), False, missing)
    if kernel is None:
        return LaneState(str(lane), None, "not proved yet: build a kernel first (hornetos build kernel)")
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    proof = {"lane": str(lane), "vmm": vmm_version(lane), "kernel": file_sha256(kernel), "until": first_program.REPORT}
    key = content_key({**proof, "boot": boot_id})
    kept = workspace.directory("cache", "lanes") / f"{key}.json"
    if known := _kept(kept):
        return known
    state = _boot_to_first_program(lane, workspace, kernel, spec)
    # A KVM that runs no Linux never will. An emulator failed once by chance, and works the next time.
    if state.usable or (state.usable is False and lane.accelerator == "kvm"):
        write_file(kept, json.dumps(asdict(state)) + "\n")
    return state


def _kept(proof: Path) -> LaneState | None:
    """The cached proof; None if there is none or it is unreadable: the lane is then proved again."""
    try:
        return _STATE.validate_json(read_bytes(proof, MAX_PROOF_BYTES, follow_links=False), strict=True)
    except (ForeignFileError, ValidationError):
        return None


def _missing(lane: Lane) -> str:
    """What the lane lacks before a kernel is tried; "" if nothing."""
    if missing := _missing_program(lane):
        return missing
    return kvm.payload_problem() or "" if lane.accelerator == "kvm" else ""


def _missing_program(lane: Lane) -> str:
    program = driver_of(lane).program
    return f"no {program.name} on PATH: {program.install_hint}" if program.missing else ""


def _boot_to_first_program(lane: Lane, workspace: Workspace, kernel: Path, spec: Spec) -> LaneState:
    with work_directory(workspace.run, "lane", PRIVATE_DIRECTORY_MODE) as directory:
        disk = directory / "rootfs.ext4"
        open_private(disk, "xb").close()
        first_program.make_disk(disk, directory)
        config = MachineConfig(
            name="probe",
            directory=directory,
            disk=disk,
            user=spec.vmm.first_user,
            memory_mib=spec.machine.memory_mib,
            vcpus=1,
            firecracker=_on_a_console(spec.firecracker),
        )
        try:
            vm = driver_of(lane).boot(lane, config, kernel=kernel, boot_args=PROBE_BOOT_ARGS)
        except HornetError as error:
            why = f"the VMM does not start: {error.message.splitlines()[-1].strip()}"
            return LaneState(str(lane), None if _says_nothing(error) else False, why)
        try:
            vm.console.wait_for(first_program.REPORT, BOOT_TIMEOUT_S)
        except HornetError as error:
            if _says_nothing(error):
                return LaneState(str(lane), None, f"could not be tried: {error.message.splitlines()[0]}")
            # An emulator works, but it may be slow: that is not kept.
            emulated = lane.accelerator == "tcg" or cpu_is_emulated()
            usable = None if error.timed_out and emulated else False
            seen = vm.console.text.strip().splitlines()
            last = f"; the console's last line: {seen[-1]!r}" if seen else "; the console is empty"
            late = f"no program ran within {patient_s(BOOT_TIMEOUT_S):g} s"
            why = late if error.timed_out else error.message.splitlines()[0]
            return LaneState(str(lane), usable, f"{why}{last}")
        finally:
            vm.kill()
    return LaneState(str(lane), True, "the kernel under test runs a program")


def _on_a_console(table: Firecracker) -> Firecracker:
    """The program's end is seen on the console, whatever the lane's guests have."""
    return table.model_copy(update={"options": table.options.model_copy(update={"serial": "console"})})


def _says_nothing(error: HornetError) -> bool:
    """Whether the host lacked something or ended the VMM: the lane may work next time."""
    return isinstance(error, HostError | CommandError) or (isinstance(error, VMFailedError) and error.by_host)
