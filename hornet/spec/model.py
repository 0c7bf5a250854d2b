"""The typed specification: hornetos.toml, validated, with overlays.

A wrong key or value is an error that names the file, the key, the value found and what is allowed.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from hornet.errors import SpecError
from hornet.foreign_file import ForeignFileError, read_toml
from hornet.spec.kernel import Kernel
from hornet.spec.lane import Lane
from hornet.spec.network import Network
from hornet.spec.rootfs import Keep, NpmPackage, Rootfs, Slim
from hornet.spec.rules import Boot, FileRule, Health, Leftovers, ReadOnlyRoot, Removal, Secrets
from hornet.spec.types import (
    DAY_S,
    BootArguments,
    Command,
    FileName,
    ImagePath,
    Line,
    NotNegative,
    Pattern,
    Positive,
    Script,
    Seconds,
    Table,
    Token,
)

SPEC_PATH = Path(__file__).resolve().parents[2] / "hornetos.toml"
SHOWN_PROBLEMS = 20
# What a run measures this often takes days.
MAX_ROUNDS = 10_000
# Beside the three files in a snapshot's directory (hornet/snapshot/): the manifest and the note of what stat said.
OWN_FILES = ("manifest.json", "seal.json")
# The project's own has 50 KiB.
MAX_SPEC_BYTES = 256 << 10


class Metric(Table):
    """A target metric (guide: Design Goals, Target Metrics). Values are in `unit`; MB is 10^6 bytes."""

    title: Line
    unit: Literal["MB", "ms", "VMs"]
    direction: Literal["lower", "higher"]
    baseline: Positive
    baseline_quote: Line
    target: Positive
    target_quote: Line
    stretch: Positive | None = None
    needs: Literal["any", "kvm"]

    def holds(self, value: float) -> bool:
        """Whether `value`, in this metric's unit, meets the target."""
        return value <= self.target if self.direction == "lower" else value >= self.target


class Capacity(Table):
    """The host to plan for. work_mb: what an agent's work adds to its VM, the cases to show."""

    host_memory_mb: Positive
    host_reserved_mb: NotNegative
    work_mb: Annotated[list[NotNegative], Field(min_length=1, max_length=20)]

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

    restore: Annotated[int, Field(ge=1, le=MAX_ROUNDS)]
    boot: Annotated[int, Field(ge=1, le=MAX_ROUNDS)]
    clones: Annotated[int, Field(ge=2, le=MAX_ROUNDS)]


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
    boot_args: BootArguments
    boot_timeout_s: Seconds
    ssh_timeout_s: Seconds
    shutdown_timeout_s: Seconds


class Vmm(Table):
    """The VMM's process. first_user: the numeric user, and group, of the VMM of VM N is first_user + N.

    It stays within the range that systemd leaves to nobody.
    """

    first_user: Annotated[int, Field(ge=0x70000000, le=0x7FFF0000)]


class SnapshotFiles(Table):
    """Names of the three files (guide: Snapshot Anatomy), and how long a guest may take for its part.

    production_link: of the link to the version in use. thaw_after_s: a guest that stands still for a snapshot and is
    not told to go on does so by itself after so long.
    """

    rootfs_file: FileName
    memory_file: FileName
    state_file: FileName
    production_link: FileName
    state_max_mb: Positive
    restore_timeout_s: Seconds
    freeze_timeout_s: Seconds
    refresh_timeout_s: Seconds
    thaw_after_s: Annotated[int, Field(ge=1, le=DAY_S)]

    @model_validator(mode="after")
    def _names_differ(self) -> SnapshotFiles:
        files = {key: getattr(self, key) for key in ("rootfs_file", "memory_file", "state_file")}
        for key, name in files.items():
            if name in OWN_FILES:
                raise ValueError(f"{key} {name!r}: a file of that name says what the snapshot is")
            same = [other for other, taken in files.items() if taken == name and other != key]
            if same:
                raise ValueError(f"{key} and {same[0]} are both {name!r}: they must differ")
        return self


class Hazards(Table):
    """How the hazards of a restore are judged. seed_files: where systems keep a random seed between boots.

    clones: one of them outlives its snapshot, and of the others at least two share their memory.
    """

    clones: Annotated[int, Field(ge=3, le=MAX_ROUNDS)]
    max_clock_error_ms: Positive
    reconnect_timeout_s: Seconds
    seed_files: list[ImagePath]


class Init(Table):
    """A first process. `command`: what the kernel's /sbin/init hands over to. `script` prints what `pattern` finds in
    a guest that this init brought up."""

    title: Line
    command: Line
    script: Script
    pattern: Pattern


class Tier(Table):
    """A tier (guide: HornetOS Tiers). Sizes in MB; `keeps` names removals that do not apply to this tier.

    init: a name in [inits]. ssh_server: the name of its process. shell: root's. kernel_component: the row of the
    kernel, which is no part of the image.
    """

    title: Line
    min_mb: Positive
    max_mb: Positive
    use_case: Line
    init: Token
    ssh_server: Command
    shell: ImagePath
    components: dict[Line, Positive]
    kernel_component: Line
    keeps: list[Token] = []

    @model_validator(mode="after")
    def _consistent(self) -> Tier:
        if self.min_mb > self.max_mb:
            raise ValueError(f"min_mb {self.min_mb:g} is more than max_mb {self.max_mb:g}")
        if self.kernel_component not in self.components:
            raise ValueError(f"kernel_component {self.kernel_component!r} is none of components")
        return self


class Tool(Table):
    """A required capability (guide: Design Goals, Required Capabilities).

    `use` is a shell script that does real work with the tool in the guest and exits 0 only if that went well; without
    one, the version command is the real use, as for a program that takes tens of seconds to say so much.
    `tiers`: those that must have it; all of them unless named. `guide`: the statement of guide.toml that it proves;
    tool-<name> unless named.
    """

    title: Line
    purpose: Line
    needs: list[Command]
    version_command: Script
    version_pattern: Pattern
    use: Script | None = None
    tiers: list[Token] = []
    guide: Token | None = None


class Spec(Table):
    """The whole specification."""

    schema_version: Annotated[Literal[1], Field(alias="schema")]
    name: Line
    metrics: dict[Token, Metric]
    capacity: Capacity
    perf: Perf
    machine: Machine
    vmm: Vmm
    network: Network
    snapshot: SnapshotFiles
    hazards: Hazards
    accepted: dict[Line, Line] = {}
    inits: dict[Token, Init]
    tiers: dict[Token, Tier]
    tools: dict[Token, Tool]
    removals: dict[Token, Removal]
    files: dict[Token, FileRule]
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
        _known("rootfs.free_mb, which needs a value for each tier", self.tiers, self.rootfs.free_mb)
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
        # Of a key that is wrong itself, pydantic says "[key]".
        keys = [str(part) for part in item["loc"] if part != "[key]"]
        lines.append(f"{_origin(keys, origins)}: {'.'.join(keys) or 'top level'}: {item['msg']}{_found(item)}"[:500])
    if len(lines) > SHOWN_PROBLEMS:
        lines[SHOWN_PROBLEMS:] = [f"and {len(lines) - SHOWN_PROBLEMS} more"]
    return SpecError("\n".join(lines), "correct the named key; hornetos.toml shows every key that is allowed")


def _found(item: ErrorDetails) -> str:
    """The value; nothing for a missing key, and for a table that as a whole violates what the message names."""
    told = item["type"] == "missing" or (item["type"] == "value_error" and isinstance(item["input"], dict))
    return "" if told else f", found {item['input']!r}"


def _origin(keys: Sequence[str], origins: Sequence[tuple[Path, dict[str, Any]]]) -> Path:
    """The file to correct: the last of those that have most of the tables on the way to the key; else the first."""
    depths = [_depth(keys, data) for _, data in origins]
    deepest = max(depths)
    places = [path for (path, _), depth in zip(origins, depths, strict=True) if depth == deepest]
    return places[-1] if deepest else places[0]


def _depth(keys: Sequence[str], data: dict[str, Any]) -> int:
    """How many of the keys, one within the other, a file has."""
    node: Any = data
    for depth, key in enumerate(keys):
        if not isinstance(node, dict) or key not in node:
            return depth
        node = node[key]
    return len(keys)


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
