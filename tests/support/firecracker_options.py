"""Guests with Linux and options of the lane firecracker/kvm: what their tests have in common. Fixtures, as a plugin."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from hornet.host.emulation import patient_s
from hornet.spec.firecracker import Feature, Firecracker
from hornet.spec.lane import Lane
from hornet.spec.model import Spec
from hornet.vm.fleet import VM, Fleet
from hornet.vmm.registry import vmm_version

TIMEOUT_S = 120
SETTLE_S = 20
TAKEN_MIB = 64

OptionsFleet = Callable[..., Fleet]


@pytest.fixture(scope="module", autouse=True)
def is_firecracker(lane: Lane) -> None:
    if lane.vmm != "firecracker":
        pytest.skip(f"not judged: these are Firecracker's options, this run uses {lane}")


def of_this_release(table: Firecracker, lane: Lane, features: dict[Feature, dict[str, Any]]) -> dict[str, Any]:
    version = vmm_version(lane)
    return {
        name: value for need, options in features.items() if table.has(need, version) for name, value in options.items()
    }


def has(fleet: Fleet, feature: Feature) -> None:
    version = vmm_version(fleet.lane)
    if not fleet.spec.firecracker.has(feature, version):
        pytest.skip(f"not judged: Firecracker {version} has no {feature}")


@pytest.fixture(scope="module")
def options_fleet(spec: Spec, new_fleet: Callable[..., Fleet]) -> OptionsFleet:
    def make(*, check_seals: bool = True, **options: Any) -> Fleet:
        chosen = spec.firecracker.options.model_copy(update=options)
        table = spec.firecracker.model_copy(update={"options": chosen})
        return new_fleet(spec=spec.model_copy(update={"firecracker": table}), check_seals=check_seals)

    return make


def run(vm: VM, script: str) -> str:
    return vm.guest.check_output(script, TIMEOUT_S).strip()


def eventually(measure: Callable[[], float], enough: Callable[[float], bool]) -> float:
    deadline_s = time.monotonic() + patient_s(SETTLE_S)
    while not enough(value := measure()) and time.monotonic() < deadline_s:
        time.sleep(0.2)
    assert enough(value), value
    return value
