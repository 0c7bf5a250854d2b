"""The kernel's flags, from the guest that runs it and from the file (guide: Phase 3, Required Kernel Features)."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

import pytest

from hornet.checks import feature_tests, guest_kernel
from hornet.checks.balloon import balloon_problems
from hornet.formats.kconfig import read_config, require_whole
from hornet.scenarios.balloon import take_and_give
from hornet.spec.model import Spec
from hornet.vm.probes import ProbeResults
from hornet_fixtures.assertions import assert_no_problems
from hornet_fixtures.guests import ProbedVM

FEATURES = ("virtio", "filesystems", "networking", "isolation", "entropy", "console", "removed")
pytestmark = [pytest.mark.conformance, pytest.mark.requirement(*(f"kernel-{feature}" for feature in FEATURES))]


def test_running_kernel_has_the_flags(spec: Spec, facts: ProbeResults) -> None:
    assert_no_problems(guest_kernel.running_config_problems(spec.kernel, facts))


def test_kernel_file_has_the_flags(spec: Spec, kernel: Path) -> None:
    config = read_config(kernel)
    require_whole(config, kernel)
    assert_no_problems(guest_kernel.config_problems(spec.kernel, config, config.version, spec.machine.boot_args))


@pytest.mark.requirement("kernel-version")
def test_running_kernel_has_the_right_version(spec: Spec, facts: ProbeResults) -> None:
    assert_no_problems(guest_kernel.version_problems(spec.kernel, facts))


def test_kernel_feature_works(feature_test: str, spec: Spec, facts: ProbeResults) -> None:
    assert_no_problems(feature_tests.feature_problems(feature_test, spec.kernel.feature_tests[feature_test], facts))


@pytest.mark.requirement("kernel-virtio")
def test_balloon_takes_and_returns_memory(facts_future: Future[ProbedVM], spec: Spec) -> None:
    assert_no_problems(balloon_problems(take_and_give(facts_future.result().vm, spec.machine.memory_mib // 4)))
