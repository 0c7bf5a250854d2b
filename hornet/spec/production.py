"""What a host needs before it runs VMs of several tenants: spec/production.toml."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hornet.spec.types import Line, Pattern, Table

# Below the root of the file system that is judged.
HostFile = Annotated[str, Field(pattern=r"^[a-z][A-Za-z0-9_./*?-]*$", max_length=200)]


class HostRule(Table):
    """One setting of the host. Its keys are explained in spec/production.toml."""

    title: Line
    files: Annotated[list[HostFile], Field(min_length=1, max_length=10)]
    pattern: Pattern
    wanted: Line
    absent: Literal["fine", "unknown"]
    only_if_file: HostFile | None = None
    only_if: Pattern | None = None
    why: Line
    change: Line

    @model_validator(mode="after")
    def _whole_condition(self) -> HostRule:
        if (self.only_if_file is None) != (self.only_if is None):
            raise ValueError("expected only_if_file and only_if together, or neither")
        return self
