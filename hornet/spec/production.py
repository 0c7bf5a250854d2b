"""What a host needs before it runs VMs of several tenants: spec/production.toml."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

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
    only_if: dict[HostFile, Pattern] = {}
    why: Line
    change: Line
