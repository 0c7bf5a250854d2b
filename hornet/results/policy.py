"""What a release demands of a run beyond its tests: a TOML file, or these defaults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from hornet.foreign_file import ForeignFileError, first_problem, read_toml
from hornet.spec.requirements import Level
from hornet.spec.types import Positive, Table

POLICY_FILE = "policy.toml"
MAX_POLICY_BYTES = 64 << 10


class Policy(Table):
    """The demands on a run.

    blocking_levels: the levels of requirements whose failure fails it. require_kvm: whether what needs a KVM lane must
    have been judged in one. max_waived: how many requirements may be waived. max_load_per_core: the host's load per
    core before the run, at most; None for any. require_baseline: whether the run must be compared with an earlier one.
    max_regression_percent: how much worse than the baseline a measured quantity may be, where a difference is shown;
    None for any. instructions_may_grow: whether more guest instructions than the baseline's are accepted.
    require_quiet: whether each time must have been measured on a quiet host, by the limits of the spec.
    """

    blocking_levels: Annotated[list[Level], Field(min_length=1)] = ["must"]
    require_kvm: bool = False
    max_waived: Annotated[int, Field(ge=0)] = 5
    max_load_per_core: Positive | None = None
    require_baseline: bool = False
    max_regression_percent: Positive | None = None
    instructions_may_grow: bool = False
    require_quiet: bool = False


def read_policy(path: Path) -> Policy:
    """Parse a policy file. Raises ForeignFileError for an unknown key, with the one that was probably meant."""
    try:
        return Policy.model_validate(read_toml(path, MAX_POLICY_BYTES))
    except ValidationError as error:
        problem = first_problem(error, Policy.model_fields)
        raise ForeignFileError(f"{path}: {problem}", f"the keys are: {', '.join(Policy.model_fields)}") from error


def policy_text(policy: Policy) -> str:
    """A policy as the TOML that read_policy() reads: a run keeps it, with what options added."""
    values = policy.model_dump(mode="json", exclude_none=True)
    # TOML writes strings, numbers, booleans and lists of them as JSON does.
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
