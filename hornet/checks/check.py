"""Registration of checks: the decorator @check registers one, and hornet/checks/catalog.py finds it.

A check is a public function named *_problems that judges facts and returns the problems found, as text. The self-test
tests/selftest/test_every_check.py requires that each one is registered and fails for at least one mutation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, TypeVar

from hornet.spec.model import Spec

Function = TypeVar("Function", bound=Callable[..., list[str]])


class Subject(Enum):
    """What a check judges: its last argument."""

    GUEST = auto()  # ProbeResults of a restored guest
    MUTABLE_GUEST = auto()  # ProbeResults of a guest with injected faults
    SECRET_TRIAL = auto()  # a SecretTrial, and ProbeResults of the guest that was given its secrets
    READ_ONLY_GUEST = auto()  # ProbeResults of a guest booted with a read-only root
    IMAGE = auto()  # an ImageTree
    LINEAGE = auto()  # LineageFacts of a snapshot and its clones
    OTHER = auto()  # other arguments, which the caller provides


@dataclass(frozen=True)
class Check:
    """A registered check.

    name: as in `boot.swap`, or with a placeholder for the case, as in `tool.{}.version`. cases: the leading
    arguments of each case, from the spec. A check without cases has one case named "". proves: requirement ids.
    """

    name: str
    function: Callable[..., list[str]]
    subject: Subject
    cases: Callable[[Spec], Mapping[str, tuple[Any, ...]]]
    proves: tuple[str, ...]

    @property
    def label(self) -> str:
        """The last part of the name."""
        return self.name.rpartition(".")[2]


REGISTERED: list[Check] = []


def check(
    name: str,
    subject: Subject = Subject.OTHER,
    *,
    given: Callable[[Spec], Any] | None = None,
    each: Callable[[Spec], Mapping[str, tuple[Any, ...]]] | None = None,
    proves: Iterable[str] = (),
) -> Callable[[Function], Function]:
    """Register a check function. given: its first argument; each: the leading arguments of each case. See Check."""

    def cases(spec: Spec) -> Mapping[str, tuple[Any, ...]]:
        return each(spec) if each else {"": (given(spec),) if given else ()}

    def register(function: Function) -> Function:
        REGISTERED.append(Check(name, function, subject, cases, tuple(proves)))
        return function

    return register
