"""Firecracker's releases, what each can do and what goes wrong in it, and the lane's options: spec/firecracker.toml."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from hornet.spec.types import DAY_S, Line, Table, Token, Version

Numbers = tuple[int, ...]
Feature = Literal[
    "huge_pages",
    "transparent_huge_pages",
    "network_overrides",
    "load_tracks_dirty_pages",
    "diff_without_tracking",
    "free_page_reporting",
    "free_page_hinting",
    "memory_hotplug",
    "serial_file",
    "pmem",
    "clock_realtime",
    "vsock_override",
    "load_huge_pages",
]
Releases = Annotated[list[Version], Field(min_length=1)]
# Of a file; "": none.
AbsolutePath = Annotated[str, Field(pattern=r"^(/.+)?$", max_length=4000)]


class FirecrackerHazard(Table):
    """What goes wrong in a restored guest. mended: the releases that first lack it; from_kernel: guests that do. fails:
    the checks of hazards that find it."""

    mended: list[Version]
    from_kernel: Version | None = None
    fails: list[Token]
    text: Line

    def concerns(self, version: str, kernel: str) -> bool:
        """Whether a release with guests of a version of Linux has it."""
        mended = bool(self.mended) and includes(self.mended, version)
        return not mended and not (self.from_kernel and numbers(kernel) >= numbers(self.from_kernel))

    @property
    def with_remedy(self) -> str:
        """The hazard and where it ends, in one sentence."""
        ends = [f"mended in Firecracker {', '.join(self.mended)}"] if self.mended else []
        ends += [f"not in guests from Linux {self.from_kernel} on"] if self.from_kernel else []
        return f"{self.text} ({'; '.join(ends)})"

    @model_validator(mode="after")
    def _ends(self) -> FirecrackerHazard:
        if not self.mended and not self.from_kernel:
            raise ValueError("mended, from_kernel: name the releases or the guests that lack it")
        return self


class FirecrackerRelease(Table):
    """What `hornetos firecracker install` fetches. url: of the archive, with {version}; beside it *.sha256.txt."""

    version: Version
    url: Annotated[str, Field(pattern=r"^https?://[^\s]*\{version\}[^\s]*$", max_length=500)]

    def is_version(self, text: str) -> bool:
        """Whether a text is the version of a release, as in `1.16.1`: it becomes a part of a path."""
        return re.fullmatch(r"\d{1,5}\.\d{1,5}\.\d{1,5}", text) is not None


class FirecrackerOptions(Table):
    """What a VM of the lane has beside the machine of the spec. Each needs a release that can do it.

    balloon_statistics_s: the interval of the balloon's statistics in seconds; 0: none. memory_hotplug_mib: how much
    memory can be plugged in later. cpu_config: a CPU template of one's own, as Firecracker's docs/cpu_templates has it.
    shared_file: a file that is /dev/pmem0.
    """

    track_dirty_pages: bool
    huge_pages: Literal["None", "2M", "Transparent"]
    memory_backend: Literal["File", "Uffd"]
    resume_in_load: bool
    override_tap: bool
    override_vsock: bool
    clock_realtime: bool
    cpu_template: Literal["None", "T2", "T2S", "T2CL", "T2A", "C3"]
    cpu_config: AbsolutePath
    deflate_on_oom: bool
    balloon_statistics_s: Annotated[int, Field(ge=0, le=DAY_S)]
    free_page_reporting: bool
    free_page_hinting: bool
    memory_hotplug_mib: Annotated[int, Field(ge=0, le=1 << 20, multiple_of=128)]
    jailer: bool
    jailer_cgroups: list[Annotated[str, Field(pattern=r"^[a-z_0-9.]+=\S+$", max_length=200)]]
    vsock: bool
    serial: Literal["console", "file", "off"]
    shared_file: AbsolutePath
    mmds: bool

    @model_validator(mode="after")
    def _takes_orders(self) -> FirecrackerOptions:
        if self.serial != "console" and not self.vsock:
            raise ValueError(f"serial = {self.serial!r} needs vsock = true: the restore agent takes its orders there")
        return self


class Firecracker(Table):
    """The table of releases, and the lane's options. memory_group: numeric id, in the range of Vmm.first_user.

    agent_vsock_port: where the guest's restore agent takes orders, in a VM with a vsock.
    """

    oldest: Version
    memory_group: Annotated[int, Field(ge=0x70000000, le=0x7FFF0000)]
    agent_vsock_port: Annotated[int, Field(ge=1, lt=(1 << 32) - 1)]
    release: FirecrackerRelease
    features: dict[Feature, Releases]
    hazards: dict[Token, FirecrackerHazard]
    options: FirecrackerOptions

    @model_validator(mode="after")
    def _complete(self) -> Firecracker:
        if missing := [name for name in get_args(Feature) if name not in self.features]:
            raise ValueError(f"features: missing: {', '.join(missing)}")
        return self

    def supports(self, version: str) -> bool:
        """Whether the driver supports a release."""
        return numbers(version) >= numbers(self.oldest)

    def has(self, feature: Feature, version: str) -> bool:
        """Whether a release has a feature."""
        return includes(self.features[feature], version)

    def hazards_of(self, version: str, kernel: str) -> dict[str, str]:
        """The hazards of a release with guests of a version of Linux: a sentence for each, by name."""
        return {name: hazard.with_remedy for name, hazard in self.hazards.items() if hazard.concerns(version, kernel)}

    def explain(self, check: str, found: Sequence[str]) -> list[str]:
        """Why a check of hazards fails, as far as the table says: a sentence for each hazard that it finds.

        found: the sentences of a driver on the hazards of its release (hornet/vmm/driver.py).
        """
        return [
            f"known: {sentence}"
            for name, hazard in self.hazards.items()
            for sentence in found
            if check in hazard.fails and f": {name}: " in sentence
        ]


def numbers(version: str) -> Numbers:
    """The numbers of a version, as in `1.16.1`; what follows them, as in `1.17.0-dev`, does not count."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()


def includes(first: list[str], version: str) -> bool:
    """Whether a release is, or comes after, one of those that first had something; see `features` in the spec."""
    found = numbers(version)
    *backports, general = map(numbers, first)
    return found >= general or any(found[:2] == backport[:2] and found >= backport for backport in backports)
