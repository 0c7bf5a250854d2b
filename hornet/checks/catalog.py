"""Every check by name, bound to the spec, so that a self-test can run all of them on one broken input."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import Any

import hornet.checks
from hornet.checks.check import REGISTERED, Check, Subject
from hornet.checks.hazards import LineageFacts
from hornet.checks.runtime_secrets import SecretTrial
from hornet.formats.image_tree import ImageTree
from hornet.spec.model import Spec
from hornet.vm.probes import ProbeResults

GuestCheck = Callable[[ProbeResults], list[str]]
ImageCheck = Callable[[ImageTree], list[str]]
HazardCheck = Callable[[LineageFacts], list[str]]


# Import at load time: a process that is confined later can't read directories.
for _module in pkgutil.iter_modules(hornet.checks.__path__, f"{hornet.checks.__name__}."):
    importlib.import_module(_module.name)


def checks_in(group: str) -> list[Check]:
    """The checks whose names start with `group` and a dot, in the order of their module."""
    return [check for check in REGISTERED if check.name.startswith(f"{group}.")]


def guest_checks(spec: Spec) -> dict[str, GuestCheck]:
    """The checks on the probe results of a guest."""
    return dict(_bound(spec, Subject.GUEST))


def scratch_checks(spec: Spec, trial: SecretTrial) -> dict[str, GuestCheck]:
    """The checks on the probe results of a guest with injected faults and secrets."""
    of_secrets = {name: partial(function, trial) for name, function in _bound(spec, Subject.SECRET_TRIAL)}
    return dict(_bound(spec, Subject.MUTABLE_GUEST)) | of_secrets


def hardened_checks(spec: Spec) -> dict[str, GuestCheck]:
    """The checks on the probe results of a guest booted with a read-only root."""
    return dict(_bound(spec, Subject.READ_ONLY_GUEST))


def image_checks(spec: Spec, exempt: Collection[str] = ()) -> dict[str, ImageCheck]:
    """The checks on the files of an image. exempt: the removals that do not apply to its tier."""
    checks = _bound(spec, Subject.IMAGE)
    return {name: function for name, function in checks if _removal(name) not in exempt}


def hazard_checks(spec: Spec) -> dict[str, HazardCheck]:
    """The checks on the facts of a snapshot and its clones."""
    return dict(_bound(spec, Subject.LINEAGE))


def in_group(checks: Mapping[str, Callable[..., list[str]]], group: str) -> list[Callable[..., list[str]]]:
    """Those of the given bound checks whose names start with `group` and a dot."""
    return [function for name, function in checks.items() if name.startswith(f"{group}.")]


def _bound(spec: Spec, subject: Subject) -> Iterator[tuple[str, Callable[..., list[str]]]]:
    for check in REGISTERED:
        if check.subject is subject:
            for case, arguments in check.cases(spec).items():
                yield check.name.format(case), partial(check.function, *arguments)


def _removal(name: str) -> Any:
    group, _, rest = name.partition(".")
    return rest.partition(".")[0] if group == "removal" else None
