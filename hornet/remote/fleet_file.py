"""fleet.json: what a fleet was to run, and how that ended on each host. `--resume` continues from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from hornet.foreign_file import ForeignFileError, first_problem, read_json
from hornet.host.durable import write_file
from hornet.remote.here import Here
from hornet.remote.plan import Plan
from hornet.spec.types import Line, Table

FLEET_FILE = "fleet.json"
HOSTS_DIRECTORY = "hosts"
MAX_FLEET_BYTES = 4 << 20
FORMAT = 1


class HostState(Table):
    """tries: the names of its runs there. came_back: the run whose results are here; None for none. reason: why its
    work is missing; empty if it is not."""

    tries: list[Line] = []
    came_back: Line | None = None
    reason: str = "not begun"


class FleetFile(Table):
    """here: what the machine that led it had. hosts: by name, as in the hosts file."""

    format: Annotated[int, Field(ge=1, le=FORMAT)] = FORMAT
    name: Line
    begun: Line
    here: Here
    plan: Plan
    hosts: dict[str, HostState]

    @property
    def missing(self) -> dict[str, HostState]:
        """The hosts whose work is missing."""
        return {name: state for name, state in self.hosts.items() if not state.came_back}


def read_fleet(directory: Path) -> FleetFile:
    """The state of a fleet. Raises ForeignFileError for a file that is missing or not of this form."""
    try:
        return FleetFile.model_validate(read_json(directory / FLEET_FILE, MAX_FLEET_BYTES))
    except ValidationError as error:
        raise ForeignFileError(
            f"{directory / FLEET_FILE}: {first_problem(error)}", "start another: hornetos fleet run"
        ) from error


def write_fleet(directory: Path, fleet: FleetFile) -> None:
    """Write the state completely or not at all. Raises OSError."""
    write_file(directory / FLEET_FILE, json.dumps(fleet.model_dump(mode="json"), indent=1) + "\n")


def host_directory(directory: Path, host: str) -> Path:
    """Where the run of a host is, once it came back."""
    return directory / HOSTS_DIRECTORY / host
