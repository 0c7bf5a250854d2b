"""Phase 4: booted with a read-only root, the image writes to memory only; its console is clean meanwhile."""

from __future__ import annotations

import pytest

from hornet.checks import boot, read_only
from hornet.host.artifact_store import file_sha256
from hornet.scenarios.probe_sets import FACTS_TIMEOUT_S
from hornet.spec.model import Spec
from hornet_fixtures.assertions import holds
from hornet_fixtures.guests import Hardened
from hornet_fixtures.requirement_markers import check_cases

pytestmark = pytest.mark.conformance


CHECKS = {read_only.read_only_problems: ["root-read-only"], read_only.tmpfs_problems: ["tmpfs-writable"]}


@pytest.mark.parametrize("check", check_cases(CHECKS))
def test_the_root_is_read_only(check, spec: Spec, hardened: Hardened) -> None:
    holds(check(spec.read_only_root, hardened.facts))


@pytest.mark.guide("root-read-only")
def test_nothing_reached_the_disk(hardened: Hardened) -> None:
    hardened.vm.guest.run("sync", FACTS_TIMEOUT_S)
    holds(read_only.disk_problems(hardened.disk_before_sha256, file_sha256(hardened.vm.disk)))


@pytest.mark.guide("trouble-console")
def test_the_console_is_clean(hardened: Hardened, spec: Spec) -> None:
    holds(boot.line_problems(spec.boot, hardened.vm.micro.console.text))
