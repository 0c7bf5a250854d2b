"""The kernel's flags, from the guest that runs it and from the file (guide: Phase 3, Required Kernel Features)."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

import pytest

from hornet.checks import feature_tests, guest_kernel
from hornet.checks.balloon import balloon_problems
from hornet.formats.kconfig import read_config
from hornet.scenarios.balloon import take_and_give
from hornet.spec.model import Spec
from hornet.vm.probes import Facts
from hornet_fixtures.assertions import holds
from hornet_fixtures.guests import Asked

FEATURES = ("virtio", "filesystems", "networking", "isolation", "entropy", "console", "removed")
pytestmark = [pytest.mark.conformance, pytest.mark.guide(*(f"kernel-{feature}" for feature in FEATURES))]


def test_the_running_kernel_has_the_flags(spec: Spec, facts: Facts) -> None:
    holds(guest_kernel.running_config_problems(spec.kernel, facts))


def test_the_kernel_file_has_the_flags(spec: Spec, kernel: Path) -> None:
    config = read_config(kernel)
    holds(guest_kernel.config_problems(spec.kernel, config, config.version, spec.machine.boot_args))


@pytest.mark.guide("kernel-version")
def test_the_running_kernel_is_of_the_right_version(spec: Spec, facts: Facts) -> None:
    holds(guest_kernel.version_problems(spec.kernel, facts))


def test_what_the_configuration_promises_works(promise_name: str, spec: Spec, facts: Facts) -> None:
    holds(feature_tests.promise_problems(promise_name, spec.kernel.promises[promise_name], facts))


@pytest.mark.guide("kernel-virtio")
def test_the_balloon_takes_memory_and_gives_it_back(begun_facts: Future[Asked], spec: Spec) -> None:
    holds(balloon_problems(take_and_give(begun_facts.result().vm, spec.machine.memory_mib // 4)))
