"""Every Debian kernel that the spec names is built with the same flags, boots, and its features work."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from builders.kernel import build_kernel
from hornet.checks import feature_tests, guest_kernel
from hornet.checks.boot import kernel_log_problems
from hornet.host.progress import Progress
from hornet.host.workspace import Workspace
from hornet.scenarios.probe_sets import collect_facts, guest_probes
from hornet.spec.kernel import DebianKernel
from hornet.spec.model import Spec, load_spec
from hornet.vm.fleet import Fleet
from hornet_fixtures.assertions import assert_no_problems
from hornet_fixtures.under_test import Image

BUILD_TIMEOUT_S = 3600
DEBIAN = [name for name, source in load_spec().kernel.sources.items() if isinstance(source, DebianKernel)]

pytestmark = [pytest.mark.guest, pytest.mark.slow, pytest.mark.timeout(BUILD_TIMEOUT_S)]


@pytest.mark.parametrize("source", DEBIAN)
def test_debian_kernel_is_built_boots_and_works(
    source: str,
    spec: Spec,
    workspace: Workspace,
    progress: Progress,
    image: Image,
    tier_name: str,
    new_fleet: Callable[..., Fleet],
) -> None:
    built = build_kernel(spec, workspace, progress, source=source)
    with new_fleet() as fleet:
        vm = fleet.boot(built.vmlinux, image.path)
        vm.guest.wait_ready(spec.machine.ssh_timeout_s)
        facts = collect_facts(vm, spec, guest_probes(spec, tier_name))
    assert facts["kernel.release"].output.strip().startswith(built.version)
    assert_no_problems(guest_kernel.running_config_problems(spec.kernel, facts))
    assert_no_problems(guest_kernel.version_problems(spec.kernel, facts))
    assert_no_problems(kernel_log_problems(spec.boot, facts))
    features = spec.kernel.feature_tests.items()
    assert_no_problems(
        [problem for name, test in features for problem in feature_tests.feature_problems(name, test, facts)]
    )
