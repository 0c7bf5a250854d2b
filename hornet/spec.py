"""The typed specification: hornetos.toml, validated, with overlays.

A wrong key or value is an error that names the file, the key, the value found and what is allowed.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from hornet.errors import SpecError
from hornet.foreign_file import ForeignFileError, read_toml
from hornet.lane import Lane
from hornet.rootfs_spec import Keep, NpmPackage, Rootfs, Slim
from hornet.spec_network import Network
from hornet.spec_rules import Boot, FileRule, Health, Leftovers, Promise, ReadOnlyRoot, Removal, Secrets
from hornet.spec_types import Pattern, Positive, Symbol, Table, Version

SPEC_PATH = Path(__file__).resolve().parent.parent / "hornetos.toml"
SHOWN_PROBLEMS = 20
# The project's own has 50 KiB.
MAX_SPEC_BYTES = 256 << 10


class Metric(Table):
    """A target metric (guide: Design Goals, Target Metrics). Values are in `unit`; MB is 10^6 bytes."""

    title: str
    unit: Literal["MB", "ms", "VMs"]
    direction: Literal["lower", "higher"]
    baseline: Positive
    baseline_quote: str
    target: Positive
    target_quote: str
    stretch: Positive | None = None
    needs: Literal["any", "kvm"]

    def holds(self, value: float) -> bool:
        """Whether `value`, in this metric's unit, meets the target."""
        return value <= self.target if self.direction == "lower" else value >= self.target


class Capacity(Table):
    """The host to plan for. work_mb: what an agent's work adds to its VM, the cases to show."""

    host_memory_mb: Positive
    host_reserved_mb: Annotated[float, Field(ge=0)]
    work_mb: Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=1)]

    @model_validator(mode="after")
    def _consistent(self) -> Capacity:
        if self.host_reserved_mb >= self.host_memory_mb:
            raise ValueError("host_reserved_mb must be less than host_memory_mb")
        return self

    @property
    def available_mb(self) -> float:
        """What is left for VMs."""
        return self.host_memory_mb - self.host_reserved_mb


class Rounds(Table):
    """How often what is measured is repeated; restores for each state of the page cache.

    clones: so many VMs of one snapshot stand side by side when their memory is measured.
    """

    restore: Annotated[int, Field(ge=1)]
    boot: Annotated[int, Field(ge=1)]
    clones: Annotated[int, Field(ge=2)]


class Perf(Table):
    """Rounds in lanes whose times are judged, and in emulated ones."""

    kvm: Rounds
    emulated: Rounds

    def rounds(self, lane: Lane) -> Rounds:
        return self.kvm if lane.judges_time else self.emulated


class Machine(Table):
    """What a VM is given. Times in seconds, memory in MiB."""

    memory_mib: Annotated[int, Field(ge=32, le=1 << 20)]
    vcpus: Annotated[int, Field(ge=1, le=32)]
    boot_args: str
    boot_timeout_s: Positive
    ssh_timeout_s: Positive
    shutdown_timeout_s: Positive


class Vmm(Table):
    """The VMM's process. first_user: the numeric user, and group, of the VMM of VM N is first_user + N."""

    first_user: Annotated[int, Field(ge=1 << 16, lt=1 << 31)]


class SnapshotFiles(Table):
    """Names of the three files (guide: Snapshot Anatomy), and how long a guest may take for its part.

    production_link: of the link to the version in use. thaw_after_s: a guest that stands still for a snapshot and is
    not told to go on does so by itself after so long.
    """

    rootfs_file: str
    memory_file: str
    state_file: str
    production_link: str
    state_max_mb: Positive
    restore_timeout_s: Positive
    freeze_timeout_s: Positive
    refresh_timeout_s: Positive
    thaw_after_s: Annotated[int, Field(ge=1)]


class Hazards(Table):
    """How the hazards of a restore are judged. seed_files: where systems keep a random seed between boots.

    clones: one of them outlives its snapshot, and of the others at least two share their memory.
    """

    clones: Annotated[int, Field(ge=3)]
    max_clock_error_ms: Positive
    reconnect_timeout_s: Positive
    seed_files: list[str]


class Init(Table):
    """A first process. `command`: what the kernel's /sbin/init hands over to. `script` prints what `pattern` finds in
    a guest that this init brought up."""

    title: str
    command: str
    script: str
    pattern: Pattern


class Tier(Table):
    """A tier (guide: HornetOS Tiers). Sizes in MB; `keeps` names removals that do not apply to this tier.

    init: a name in [inits]. ssh_server: the name of its process. shell: root's. kernel_component: the row of the
    kernel, which is no part of the image.
    """

    title: str
    min_mb: Positive
    max_mb: Positive
    use_case: str
    init: str
    ssh_server: str
    shell: str
    components: dict[str, Positive]
    kernel_component: str
    keeps: list[str] = []


class Tool(Table):
    """A required capability (guide: Design Goals, Required Capabilities).

    `use` is a shell script that does real work with the tool in the guest and exits 0 only if that went well; without
    one, the version command is the real use, as for a program that takes tens of seconds to say so much.
    `tiers`: those that must have it; all of them unless named. `guide`: the statement of guide.toml that it proves;
    tool-<name> unless named.
    """

    title: str
    purpose: str
    needs: list[str]
    version_command: str
    version_pattern: Pattern
    use: str | None = None
    tiers: list[str] = []
    guide: str | None = None


class DebianKernel(Table):
    """A kernel source from a Debian package linux-source-*, of `suite` if the host's apt has none; apt verifies it."""

    kind: Literal["debian"]
    package: Annotated[str, Field(pattern=r"^linux-source-[0-9.]+$")]
    suite: str


class KernelOrgKernel(Table):
    """A kernel source from kernel.org or a mirror of it, pinned by the SHA-256 of its .tar.xz."""

    kind: Literal["kernel.org"]
    version: Version
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class KernelSymbol(Table):
    """What is known of one symbol; see the comment above [kernel.symbols]."""

    since: Version | None = None
    gone_in: Version | None = None
    boot_argument: str | None = None
    needs: list[Symbol] = []
    hidden_without: Symbol | None = None
    forced_by: Symbol | None = None


class Kernel(Table):
    """The kernel (guide: Phase 3): where it comes from, and its flags by group, without CONFIG_."""

    source: str
    max_mb: Positive
    min_version: Version
    kernel_org_mirror: Annotated[str, Field(pattern=r"^(https?|file)://")]
    sources: dict[str, Annotated[DebianKernel | KernelOrgKernel, Field(discriminator="kind")]]
    required: dict[str, list[Symbol]]
    removed: dict[str, list[Symbol]]
    extras: dict[str, list[Symbol]]
    symbols: dict[Symbol, KernelSymbol]
    promises: dict[str, Promise]

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


class Spec(Table):
    """The whole specification."""

    schema_version: Annotated[Literal[1], Field(alias="schema")]
    name: str
    metrics: dict[str, Metric]
    capacity: Capacity
    perf: Perf
    machine: Machine
    vmm: Vmm
    network: Network
    snapshot: SnapshotFiles
    hazards: Hazards
    accepted: dict[str, str] = {}
    inits: dict[str, Init]
    tiers: dict[str, Tier]
    tools: dict[str, Tool]
    removals: dict[str, Removal]
    files: dict[str, FileRule]
    leftovers: Leftovers
    secrets: Secrets
    health: Health
    read_only_root: ReadOnlyRoot
    boot: Boot
    kernel: Kernel
    rootfs: Rootfs
    slim: Slim

    @model_validator(mode="after")
    def _names_exist(self) -> Spec:
        for name, tier in self.tiers.items():
            _known(f"tiers.{name}.init", [tier.init], self.inits)
            _known(f"tiers.{name}.keeps", tier.keeps, self.removals)
        for name, tool in self.tools.items():
            _known(f"tools.{name}.tiers", tool.tiers, self.tiers)
        _known("slim.tools", self.slim.tools, self.tools)
        parts: dict[str, Keep | NpmPackage] = {**self.rootfs.debian.keep, **self.rootfs.npm}
        for name, part in parts.items():
            _known(f"rootfs: {name!r}: guide", part.guide, self.tiers)
            _known(f"rootfs: {name!r}: tiers", part.tiers, self.tiers)
            for tier_name, row in part.guide.items():
                _known(f"rootfs: {name!r}: guide.{tier_name}", [row], self.tier(tier_name).components)
        return self

    def tools_of(self, tier: str) -> dict[str, Tool]:
        """The tools that an image of this tier must have. Raises SpecError for an unknown tier."""
        self.tier(tier)
        return {name: tool for name, tool in self.tools.items() if not tool.tiers or tier in tool.tiers}

    def tier(self, name: str) -> Tier:
        """The tier of that name. Raises SpecError for an unknown one."""
        try:
            return self.tiers[name]
        except KeyError:
            raise SpecError(f"unknown tier {name!r}", f"use one of: {', '.join(self.tiers)}") from None


def _known(where: str, names: Iterable[str], known: Container[str]) -> None:
    """A reference to another table of the spec must lead somewhere."""
    for name in names:
        if name not in known:
            raise ValueError(f"{where}: no {name!r} in the spec")


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return read_toml(path, MAX_SPEC_BYTES)
    except ForeignFileError as error:
        raise SpecError(error.message, error.hint) from error


def _merge(base: dict[str, Any], overlay: dict[str, Any]) -> dict[str, Any]:
    """Tables merge key by key; any other value of the overlay replaces that of the base."""
    merged = dict(base)
    for key, value in overlay.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _explain(error: ValidationError, origins: Sequence[tuple[Path, dict[str, Any]]]) -> SpecError:
    lines = []
    for item in error.errors(include_url=False):
        keys = [str(part) for part in item["loc"]]
        found = "" if item["type"] == "missing" else f", found {item['input']!r}"
        lines.append(f"{_origin(keys, origins)}: {'.'.join(keys) or 'top level'}: {item['msg']}{found}"[:500])
    if len(lines) > SHOWN_PROBLEMS:
        lines[SHOWN_PROBLEMS:] = [f"and {len(lines) - SHOWN_PROBLEMS} more"]
    return SpecError("\n".join(lines), "correct the named key; hornetos.toml shows every key that is allowed")


def _origin(keys: Sequence[str], origins: Sequence[tuple[Path, dict[str, Any]]]) -> Path:
    """The last file that sets the key at `keys`: the one to correct. The first answers for missing keys."""
    path: Path
    for path, data in reversed(origins):
        node: Any = data
        for key in keys:
            if not isinstance(node, dict) or key not in node:
                break
            node = node[key]
            if not isinstance(node, dict):
                return path
        else:
            return path
    return origins[0][0]


def load_spec(path: Path | None = None, overlays: Sequence[Path] = ()) -> Spec:
    """Read a spec (default: the project's hornetos.toml) and lay overlays over it, in order.

    Raises SpecError for a file that can't be read, is not TOML, or holds a wrong key or value.
    """
    return build_spec([(file, _read_toml(file)) for file in [path or SPEC_PATH, *overlays]])


def build_spec(origins: Sequence[tuple[Path, dict[str, Any]]]) -> Spec:
    """The spec that parsed files make, each laid over those before it. Raises SpecError for a wrong key or value."""
    merged: dict[str, Any] = {}
    for _, data in origins:
        merged = _merge(merged, data)
    try:
        return Spec.model_validate(merged)
    except ValidationError as error:
        raise _explain(error, origins) from error
