"""vm.json: the state of a running VM, for other processes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import psutil
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hornet.errors import VMError
from hornet.foreign_file import ForeignFileError, MissingFileError, first_problem, parse_json, read_bytes
from hornet.host.proc import is_running
from hornet.host.workspace import Workspace
from hornet.network.ids import vms_directory

STATE_FILE = "vm.json"
MAX_STATE_BYTES = 64 << 10
# vm.json is written a moment after its VMM was started; psutil rounds to a hundredth of a second.
CLOCK_ROUNDING_S = 1.0
# The kernel's own limit, PID_MAX_LIMIT of linux/threads.h.
Pid = Annotated[int, Field(ge=1, le=1 << 22)]
# linux/limits.h: PATH_MAX; no path holds a zero byte.
# They become the names of files below /run/netns.
Name = Annotated[str, Field(max_length=200, pattern=r"^[A-Za-z0-9._-]*$")]
PathText = Annotated[str, Field(max_length=4096, pattern=r"^[^\x00]*$")]


class VMState(BaseModel):
    """A running VM. private_host: the prefix of its private host, "" for the machine itself.

    kept: why it outlives the command or test run that started it; None for a VM that ends with its run.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    pid: Pid
    owner_pid: Pid
    lane: str
    vm_id: Annotated[int, Field(ge=1)]
    namespace: Name
    private_host: Name
    ssh_key: PathText
    snapshot: PathText | None
    kept: Annotated[str, Field(max_length=500)] | None = None

    def to_json(self) -> str:
        """The text of vm.json."""
        return self.model_dump_json(indent=2) + "\n"


def read_state(path: Path) -> VMState:
    """Read a vm.json. Raises MissingFileError, and VMError for one that the suite did not write."""
    data = read_bytes(path, MAX_STATE_BYTES, follow_links=False)
    try:
        return parse_state(data)
    except VMError as error:
        raise VMError(f"{path}: {error.message}", error.hint) from error


def vmm_runs(path: Path, state: VMState) -> bool:
    """Whether the VMM of a vm.json runs: not another process that has its id by now. Raises OSError if it is gone."""
    try:
        started_s = psutil.Process(state.pid).create_time()
    except psutil.NoSuchProcess:
        return False
    return is_running(state.pid) and started_s <= path.stat().st_mtime + CLOCK_ROUNDING_S


def running_vms(workspace: Workspace) -> dict[str, VMState]:
    """The running VMs by name. Raises VMError for a state file that the suite did not write."""
    found = {}
    for path in sorted(vms_directory(workspace).glob(f"*/{STATE_FILE}")):
        try:
            state = read_state(path)
            if vmm_runs(path, state):
                found[path.parent.name] = state
        except (MissingFileError, FileNotFoundError):
            continue  # its VM has just ended
    return found


def parse_state(data: bytes) -> VMState:
    """Parse vm.json. Raises VMError."""
    hint = "if its VM does not run, delete its directory"
    try:
        return VMState.model_validate(parse_json(data))
    except ForeignFileError as error:
        raise VMError(error.message, hint) from error
    except ValidationError as error:
        raise VMError(first_problem(error), hint) from error
