"""How a check with arguments of its own is sampled: one call that it accepts, and calls that it must reject."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

Call = Callable[[], list[str]]


@dataclass(frozen=True)
class Sample:
    """good: a call of the check that finds no problem; broken: calls that must find some, by a word of the problem."""

    check: Callable[..., list[str]]
    good: Call
    broken: dict[str, Call]


def sample(check: Callable[..., list[str]], good: tuple[Any, ...], broken: dict[str, tuple[Any, ...]]) -> Sample:
    """A sample of one check, from the arguments of its calls."""
    return Sample(check, partial(check, *good), {word: partial(check, *given) for word, given in broken.items()})
