"""Every VMM that the suite drives, by lane.

To add a VMM, write a module or a package here with a DRIVER (see driver.py), a function that loads it, and a line in
DRIVERS for each accelerator that it supports. No other code refers to VMMs by name. Drivers are loaded on first use,
because command help and reports need only the names.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from hornet.errors import HostError
from hornet.spec.lane import Lane

if TYPE_CHECKING:
    from hornet.host.tools import HostTool
    from hornet.vmm.driver import Driver


def _firecracker() -> Driver:
    from hornet.vmm.firecracker.driver import DRIVER

    return DRIVER


def _qemu() -> Driver:
    from hornet.vmm.qemu.driver import DRIVER

    return DRIVER


# Best first: a run considers lanes in this order.
DRIVERS: dict[Lane, Callable[[], Driver]] = {
    Lane("firecracker", "kvm"): _firecracker,
    Lane("qemu", "kvm"): _qemu,
    Lane("qemu", "tcg"): _qemu,
}
LANES = tuple(DRIVERS)
LANE_NAMES = tuple(map(str, LANES))
# For the help of options that take a lane.
LANES_HELP = ", ".join(LANE_NAMES[:-1]) + f" or {LANE_NAMES[-1]}"


def lane_named(name: str) -> Lane:
    """The lane of that name. Raises HostError for an unknown one."""
    for lane in LANES:
        if str(lane) == name:
            return lane
    raise HostError(f"unknown lane {name!r}", f"use one of: {', '.join(LANE_NAMES)}")


def driver_of(lane: Lane) -> Driver:
    """The driver of the lane's VMM."""
    return DRIVERS[lane]()


@contextmanager
def using_program(lane: Lane, path: Path | None) -> Iterator[None]:
    """Start the lane's VMs with another program of its VMM within the block; None changes nothing.

    Other threads of this process get it too. Raises HostError if it can't be run.
    """
    if path is None:
        yield
        return
    if not os.access(path, os.X_OK) or not path.is_file():
        raise HostError(f"{path}: no program that can be run", f"name a program of {lane.vmm}")
    variable = driver_of(lane).program_variable
    before = os.environ.get(variable)
    os.environ[variable] = str(path.resolve())
    vmm_version.cache_clear()
    try:
        yield
    finally:
        vmm_version.cache_clear()
        if before is None:
            del os.environ[variable]
        else:
            os.environ[variable] = before


@cache
def vmm_version(lane: Lane) -> str:
    """The version of the lane's VMM. Raises HostError if it is not installed."""
    return driver_of(lane).version()


@cache
def snapshot_format(lane: Lane) -> str | None:
    """The version of the format of the lane's snapshots. Raises HostError if its VMM is not installed."""
    return driver_of(lane).snapshot_format()


def driver_sources(lane: Lane) -> list[Path]:
    """The source files of the lane's driver: its module, or all modules of its package."""
    module = Path(inspect.getfile(type(driver_of(lane))))
    return [module] if module.parent == Path(__file__).parent else sorted(module.parent.glob("*.py"))


def vmm_programs() -> dict[str, HostTool]:
    """The program of each VMM, by the VMM's name."""
    return {lane.vmm: driver_of(lane).program for lane in LANES}
