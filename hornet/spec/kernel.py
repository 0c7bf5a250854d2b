"""The kernel of the specification: spec/kernel.toml (guide: Phase 3, Custom Kernel)."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field, model_validator

from hornet.spec.rules import FeatureTest
from hornet.spec.types import Suite, Symbol, Table, Token, Version


class DebianKernel(Table):
    """A kernel source from a Debian package linux-source-*, verified by apt. suite: used if the host's apt has none."""

    kind: Literal["debian"]
    package: Annotated[str, Field(pattern=r"^linux-source-[0-9.]+$")]
    suite: Suite


class KernelOrgKernel(Table):
    """A kernel source from kernel.org or a mirror of it, pinned by the SHA-256 of its .tar.xz."""

    kind: Literal["kernel.org"]
    version: Version
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class KernelSymbol(Table):
    """Facts about one symbol. See the comment above [kernel.symbols]."""

    since: Version | None = None
    gone_in: Version | None = None
    boot_argument: Annotated[str, Field(pattern=r"^[a-z0-9_.]+$", max_length=100)] | None = None
    needs: list[Symbol] = []
    hidden_without: Symbol | None = None
    forced_by: Symbol | None = None


class Kernel(Table):
    """The kernel (guide: Phase 3): where it comes from, and its flags by group, without CONFIG_."""

    source: Token
    min_version: Version
    kernel_org_mirror: Annotated[str, Field(pattern=r"^(https?|file)://[!-~]+$", max_length=500)]
    sources: dict[Token, Annotated[DebianKernel | KernelOrgKernel, Field(discriminator="kind")]]
    required: dict[Token, list[Symbol]]
    removed: dict[Token, list[Symbol]]
    extras: dict[Token, list[Symbol]]
    symbols: dict[Symbol, KernelSymbol]
    feature_tests: dict[Token, FeatureTest]

    @cached_property
    def required_symbols(self) -> list[str]:
        return [symbol for group in self.required.values() for symbol in group]

    @cached_property
    def removed_symbols(self) -> list[str]:
        return [symbol for group in self.removed.values() for symbol in group]

    @cached_property
    def extra_symbols(self) -> list[str]:
        return [symbol for group in self.extras.values() for symbol in group]

    @model_validator(mode="after")
    def _consistent(self) -> Kernel:
        both = {*self.required_symbols, *self.extra_symbols} & set(self.removed_symbols)
        if both:
            raise ValueError(f"required and removed at the same time: {', '.join(sorted(both))}")
        if self.source not in self.sources:
            raise ValueError(f"source must be one of kernel.sources: {', '.join(self.sources)}")
        return self
