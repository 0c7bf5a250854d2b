"""The distributions that images are built from.

To add one, write a module in builders/rootfs/ with a DISTRO (see builders/rootfs/distro.py), a function here that
loads it, and a line in DISTROS. No other code names a distribution.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hornet.errors import SpecError

if TYPE_CHECKING:
    from builders.rootfs.distro import Distro


def _debian() -> Distro:
    from builders.rootfs.debian import DISTRO

    return DISTRO


def _alpine() -> Distro:
    from builders.rootfs.alpine import DISTRO

    return DISTRO


# The first is the default.
DISTROS: dict[str, Callable[[], Distro]] = {"debian": _debian, "alpine": _alpine}
DEFAULT_DISTRO = next(iter(DISTROS))


def distro_named(name: str) -> Distro:
    """The distribution of that name. Raises SpecError for an unknown one."""
    if name not in DISTROS:
        raise SpecError(f"unknown distro {name!r}", f"use one of: {', '.join(DISTROS)}")
    return DISTROS[name]()
