"""Phase 4: booted with a read-only root, the guest writes to memory only, and its console is clean."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hornet.checks import boot, read_only
from hornet.host.artifact_store import file_sha256
from hornet.scenarios.probe_sets import FACTS_TIMEOUT_S
from hornet.spec.model import Spec
from hornet.spec.rules import ReadOnlyRoot
from hornet.vm.probes import ProbeResults
from hornet_fixtures.assertions import assert_no_problems
from hornet_fixtures.guests import ReadOnlyRootVM
from hornet_fixtures.requirement_markers import check_cases

pytestmark = pytest.mark.conformance


@pytest.mark.parametrize("check", check_cases("hardened"))
def test_root_is_read_only(
    check: Callable[[ReadOnlyRoot, ProbeResults], list[str]], spec: Spec, read_only_root_vm: ReadOnlyRootVM
) -> None:
    assert_no_problems(check(spec.read_only_root, read_only_root_vm.facts))


@pytest.mark.requirement("root-read-only")
def test_disk_is_unchanged(read_only_root_vm: ReadOnlyRootVM) -> None:
    read_only_root_vm.vm.guest.check_output("sync", FACTS_TIMEOUT_S)
    assert_no_problems(
        read_only.disk_problems(read_only_root_vm.disk_before_sha256, file_sha256(read_only_root_vm.vm.disk))
    )


@pytest.mark.requirement("trouble-console")
def test_console_is_clean(read_only_root_vm: ReadOnlyRootVM, spec: Spec) -> None:
    if not read_only_root_vm.vm.vmm.prints:
        pytest.skip("not judged: the guest has no serial line that the suite reads (firecracker.options.serial)")
    assert_no_problems(boot.line_problems(spec.boot, read_only_root_vm.vm.vmm.console.text))
