"""What a planner asks for, checked, and the scenarios that follow from it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import Field, ValidationError

from hornet.capacity.measured import Measured
from hornet.capacity.model import Group, HostType, Scenario
from hornet.errors import HostError
from hornet.foreign_file import first_problem
from hornet.spec.capacity import Capacity, Correlation, Profile, Risk, Share
from hornet.spec.types import NotNegative, Table
from hornet.text import similar_names

Memory = Annotated[float, Field(gt=0, le=1e8)]
Cores = Annotated[float, Field(gt=0, le=100_000)]
GROUP_FORM = "AGENTS:PROFILE[:TIER[:VM_MB]]"
HOST_FORM = "NAME:MEMORY_MB:CORES[:COUNT]"


class Request(Table):
    """The options of `hornetos capacity`. None: the profile's own, or what the groups and host types say."""

    agents: Annotated[int, Field(ge=1, le=100_000_000)]
    profile: str
    idle: Share | None
    correlation: Correlation | None
    risk: Risk
    memory_mb: Memory
    reserved_mb: NotNegative
    cores: Cores
    vm_memory_mb: Memory
    kept: bool
    over_year: bool
    seed: Annotated[int, Field(ge=0, lt=1 << 32)]
    groups: list[str]
    hosts: list[str]


def scenarios(
    request: Request, capacity: Capacity, profiles: Mapping[str, Profile], measurements: Sequence[Measured]
) -> list[Scenario]:
    """One scenario per host type. Raises HostError for an unknown or impossible group, host, tier or profile."""
    texts = request.groups or [f"{request.agents}:{request.profile}"]
    groups = tuple(_group(text, request, capacity, profiles, measurements) for text in texts)
    only = HostType("host", request.memory_mb, request.reserved_mb, request.cores)
    hosts = [_host(text, request) for text in request.hosts] or [only]
    for host in hosts:
        if host.available_mb <= 0:
            raise HostError(
                f"host {host.name}: {host.reserved_mb:g} MB reserved of {host.memory_mb:g} MB: nothing is left for VMs",
                "give --reserved-mb a smaller value",
            )
    return [
        Scenario(groups, host, request.risk, request.kept, request.seed, capacity.scenarios, request.over_year)
        for host in hosts
    ]


def what_if(text: str) -> dict[str, float]:
    """The changes in `NAME=VALUE[,NAME=VALUE…]`. Raises HostError."""
    changes = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        changes[name.strip()] = _number(value, f"--what-if {part.strip()!r}", "NAME=VALUE")
    return changes


def _group(
    text: str,
    request: Request,
    capacity: Capacity,
    profiles: Mapping[str, Profile],
    measurements: Sequence[Measured],
) -> Group:
    words = text.split(":")
    if not 2 <= len(words) <= 4:
        raise HostError(f"--group {text!r}: expected {GROUP_FORM}", "as in --group 300:claude-code:standard:4096")
    agents = _whole(words[0], f"--group {text!r}", GROUP_FORM)
    name = words[1]
    if name not in profiles:
        raise HostError(
            f"profile {name!r}: no such profile{similar_names(name, profiles)}", f"one of: {', '.join(profiles)}"
        )
    found = _of_tier(words[2] if len(words) > 2 else "", measurements)
    vm_memory_mb = _number(words[3], f"--group {text!r}", GROUP_FORM) if len(words) > 3 else request.vm_memory_mb
    profile = _changed(name, profiles[name], request)
    return Group(name, agents, profile, found.footprint, found.run, vm_memory_mb, capacity.assumptions)


def _changed(name: str, profile: Profile, request: Request) -> Profile:
    """The profile with the request's idle share and correlation."""
    changes: dict[str, float] = {}
    if request.idle is not None:
        changes["busy_share"] = 1 - request.idle
    if request.correlation is not None:
        changes["correlation"] = request.correlation
    # What is given is not assumed any more.
    assumed = [key for key in profile.assumed if key not in changes]
    try:
        return Profile.model_validate({**profile.model_dump(), **changes, "assumed": assumed, "given": sorted(changes)})
    except ValidationError as error:
        raise HostError(f"profile {name}: {first_problem(error)}", "give the profile bursts, or --idle 1") from error


def _of_tier(tier: str, measurements: Sequence[Measured]) -> Measured:
    for found in measurements:
        if tier in ("", found.tier):
            return found
    known = ", ".join(f"{it.run or 'the spec'}: {it.tier}" for it in measurements)
    raise HostError(
        f"tier {tier!r}: measured by none of the runs ({known})",
        "name a run of that tier too",
    )


def _host(text: str, request: Request) -> HostType:
    words = text.split(":")
    if not 3 <= len(words) <= 4 or not words[0].strip():
        raise HostError(f"--host {text!r}: expected {HOST_FORM}", "as in --host big:256000:64:10")
    memory_mb, cores = (_number(word, f"--host {text!r}", HOST_FORM) for word in words[1:3])
    count = _whole(words[3], f"--host {text!r}", HOST_FORM) if len(words) > 3 else None
    return HostType(words[0], memory_mb, request.reserved_mb, cores, count)


def _number(text: str, where: str, form: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1e8:
        raise HostError(f"{where}: {text!r}, expected a number of 0 to 100,000,000 in {form}", "correct the option")
    return value


def _whole(text: str, where: str, form: str) -> int:
    value = _number(text, where, form)
    if value < 1 or value != int(value):
        raise HostError(f"{where}: {text!r}, expected a whole number of 1 or more in {form}", "correct the option")
    return int(value)
