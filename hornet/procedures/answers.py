"""What the procedures' commands print with --json; docs/schemas has the schema of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hornet.procedures.validate import Step
from hornet.snapshot import Origin

NewVersionVerdict = Literal["published", "script failed", "not valid", "not judged"]
ValidateVerdict = Literal["passed", "failed", "not judged"]


@dataclass(frozen=True)
class AdoptAnswer:
    """`hornetos adopt --json`. origin: as the manifest records it; None for a damaged file system, which is not sealed.

    damage: what e2fsck found. open_to_others: whether other users may read the guest's memory.
    """

    directory: str
    verdict: Literal["sealed", "damaged"]
    damage: list[str]
    remarks: list[str]
    origin: Origin | None
    open_to_others: bool


@dataclass(frozen=True)
class NewVersionAnswer:
    """`hornetos new-version --json`. published: the new snapshot's directory, or None.

    script_exit_code, script_output: of the script in the guest; the output is cleaned of control characters.
    steps: of the validation, in order; none if the script failed.
    """

    verdict: NewVersionVerdict
    published: str | None
    script_exit_code: int
    script_output: str
    steps: list[Step]


@dataclass(frozen=True)
class ValidateAnswer:
    """`hornetos validate --json`. steps: in order; those that depend on a failed one are NOT RUN."""

    verdict: ValidateVerdict
    steps: list[Step]


@dataclass(frozen=True)
class OtherVersion:
    """A VM that still runs another version. snapshot: its directory; None if it was booted from an image."""

    vm: str
    snapshot: str | None
    pid: int
    owner_pid: int


@dataclass(frozen=True)
class RollbackAnswer:
    """`hornetos rollback --json`. production: the version in use now; None if there is none.

    before: what it was. problem: why nothing was switched; "" if it was.
    """

    switched: bool
    production: str | None
    before: str | None
    problem: str
    others: list[OtherVersion]
