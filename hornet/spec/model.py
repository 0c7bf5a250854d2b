"""The typed specification: spec/*.toml, validated, with overlays.

A wrong key or value is an error that names the file, the key, the value found and what is allowed.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from pathlib import Path

from pydantic import ValidationError, model_validator

from hornet.errors import SpecError
from hornet.installation import SPEC_DIRECTORY
from hornet.spec.agent_step import AgentStep
from hornet.spec.capacity import Capacity, Profile
from hornet.spec.files import Origin, explain, merge, read_overlay, read_spec, reject_renamed
from hornet.spec.firecracker import Firecracker
from hornet.spec.kernel import Kernel
from hornet.spec.lab import Lab
from hornet.spec.machine import Machine, Vmm
from hornet.spec.measuring import Comparing, Instructions, NoiseLimits, Perf
from hornet.spec.network import Network
from hornet.spec.production import HostRule
from hornet.spec.rootfs import Component, NpmPackage, Rootfs, Slim
from hornet.spec.rules import Boot, DanglingDependencies, FileRule, Health, ReadOnlyRoot, Removal, Secrets
from hornet.spec.snapshots import Hazards, SnapshotFiles
from hornet.spec.targets import Metric, Quantity
from hornet.spec.tiers import Init, Root, Tier, Tool
from hornet.spec.types import Table, Token
from hornet.text import similar_names

# Its target is the kernel's size limit.
KERNEL_METRIC = "kernel_size"


class Spec(Table):
    """The whole specification."""

    metrics: dict[Token, Metric]
    measurements: dict[Token, Quantity]
    capacity: Capacity
    production: dict[Token, HostRule]
    profiles: dict[Token, Profile]
    perf: Perf
    noise: NoiseLimits
    agent_step: AgentStep
    instructions: Instructions
    compare: Comparing
    machine: Machine
    vmm: Vmm
    firecracker: Firecracker
    network: Network
    snapshot: SnapshotFiles
    hazards: Hazards
    inits: dict[Token, Init]
    tiers: dict[Token, Tier]
    tools: dict[Token, Tool]
    removals: dict[Token, Removal]
    files: dict[Token, FileRule]
    dangling_dependencies: DanglingDependencies
    secrets: Secrets
    health: Health
    read_only_root: ReadOnlyRoot
    boot: Boot
    kernel: Kernel
    rootfs: Rootfs
    slim: Slim
    lab: Lab

    @model_validator(mode="after")
    def _names_exist(self) -> Spec:
        for name, tier in self.tiers.items():
            _known(f"tiers.{name}.init", [tier.init], self.inits)
            _known(f"tiers.{name}.exempt_from_removals", tier.exempt_from_removals, self.removals)
        for name, tool in self.tools.items():
            _known(f"tools.{name}.tiers", tool.tiers, self.tiers)
        for name, metric in self.metrics.items():
            _known(f"metrics.{name}.target_tier", [metric.target_tier] if metric.target_tier else [], self.tiers)
        _known("metrics", [KERNEL_METRIC], self.metrics)
        _known("capacity.default_profile", [self.capacity.default_profile], self.profiles)
        _known("instructions.commands", self.instructions.commands, self.tools)
        _known("agent_step.parts", [part.tool for part in self.agent_step.parts], self.tools)
        _known("slim.tools", self.slim.tools, self.tools)
        for name in self.measurements.keys() & self.metrics.keys():
            raise ValueError(f"measurements.{name}: a metric has that name: rename one of them")
        _known("rootfs.free_mb, which needs a value for each tier", self.tiers, self.rootfs.free_mb)
        _known("rootfs.baseline.npm", self.rootfs.baseline.npm, self.rootfs.npm)
        parts: dict[str, Component | NpmPackage] = {**self.rootfs.debian.image_components, **self.rootfs.npm}
        for name, part in parts.items():
            _known(f"rootfs: {name!r}: guide", part.guide, self.tiers)
            _known(f"rootfs: {name!r}: tiers", part.tiers, self.tiers)
            for tier_name, row in part.guide.items():
                _known(f"rootfs: {name!r}: guide.{tier_name}", [row], self.tier(tier_name).components)
        return self

    def quantity(self, name: str) -> Quantity:
        """The target metric or other measurement of that name. Raises SpecError for an unknown name."""
        known: dict[str, Quantity] = {**self.measurements, **self.metrics}
        if name in known:
            return known[name]
        raise SpecError(
            f"unknown measurement {name!r}{similar_names(name, known)}",
            "target metrics are named in spec/targets.toml, other measurements in spec/measuring.toml",
        )

    def target(self, metric: str, tier: str = "") -> float:
        """The target of a metric. `tier`: the tier of the measured image, if any.

        Raises SpecError for an unknown metric.
        """
        try:
            found = self.metrics[metric]
        except KeyError:
            raise SpecError(f"unknown metric {metric!r}", f"use one of: {', '.join(self.metrics)}") from None
        if found.target is not None:
            return found.target
        return self.tier(tier if tier in self.tiers else str(found.target_tier)).max_mb

    def tools_of(self, tier: str) -> dict[str, Tool]:
        """The tools that an image of this tier must have. Raises SpecError for an unknown tier."""
        self.tier(tier)
        return {name: tool for name, tool in self.tools.items() if not tool.tiers or tier in tool.tiers}

    def root_of(self, tier: str) -> Root:
        """How a VM of a tier gets its root file system; a private disk for what is of no tier, as the baseline."""
        return self.tiers[tier].root if tier in self.tiers else "disk"

    def tier(self, name: str) -> Tier:
        """The tier of that name. Raises SpecError for an unknown one."""
        try:
            return self.tiers[name]
        except KeyError:
            raise SpecError(f"unknown tier {name!r}", f"use one of: {', '.join(self.tiers)}") from None


def _known(where: str, names: Iterable[str], known: Container[str]) -> None:
    """Raise ValueError for a reference to something that the spec does not define."""
    for name in names:
        if name not in known:
            raise ValueError(f"{where}: no {name!r} in the spec")


def load_spec(path: Path | None = None, overlays: Sequence[Path] = ()) -> Spec:
    """Read a spec, a file or a directory (default: the project's own), and apply overlays to it, in order.

    Raises SpecError for a file that can't be read, is not TOML, or contains a wrong key or value.
    """
    return build_spec([*read_spec(path or SPEC_DIRECTORY), *map(read_overlay, overlays)])


def build_spec(origins: Sequence[Origin]) -> Spec:
    """The spec from parsed files, each applied over the previous ones. Raises SpecError for a wrong key or value."""
    reject_renamed(origins)
    try:
        return Spec.model_validate(merge(origins))
    except ValidationError as error:
        raise explain(error, origins) from error
