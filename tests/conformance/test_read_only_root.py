"""Phase 4: booted with a read-only root, the image writes to memory only; its console is clean meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hornet.checks import boot, read_only
from hornet.facts import Facts
from hornet.fleet import VM, Fleet
from hornet.inspection import FACTS_TIMEOUT_S
from hornet.spec import Spec
from hornet.store import file_sha256
from hornet_fixtures.guide import check_cases
from hornet_fixtures.judging import holds
from hornet_fixtures.subject import Image

pytestmark = pytest.mark.conformance


@pytest.fixture(scope="module")
def hardened(fleet: Fleet, kernel: Path, image: Image, spec: Spec) -> Iterator[VM]:
    """A VM booted the guide's hardened way."""
    more = spec.read_only_root.boot_args
    vm = fleet.boot(kernel, image.path, more_boot_args=more, announces=bool(image.manifest))
    yield vm
    fleet.remove(vm)


@pytest.fixture(scope="module")
def disk_before(hardened: VM) -> str:
    """What is on the disk when the guest is up, before anybody tries to write there."""
    return file_sha256(hardened.disk)


@pytest.fixture(scope="module")
def root_facts(hardened: VM, disk_before: str, spec: Spec) -> Facts:
    """What came of trying to write everywhere."""
    return hardened.guest.ask(read_only.read_only_probes(spec.read_only_root), {}, FACTS_TIMEOUT_S)


CHECKS = {read_only.read_only_problems: ["root-read-only"], read_only.tmpfs_problems: ["tmpfs-writable"]}


@pytest.mark.parametrize("check", check_cases(CHECKS))
def test_the_root_is_read_only(check, spec: Spec, root_facts: Facts) -> None:
    holds(check(spec.read_only_root, root_facts))


@pytest.mark.guide("root-read-only")
def test_nothing_reached_the_disk(hardened: VM, disk_before: str, root_facts: Facts) -> None:
    hardened.guest.run("sync", FACTS_TIMEOUT_S)
    holds(read_only.disk_problems(disk_before, file_sha256(hardened.disk)))


@pytest.mark.guide("trouble-console")
def test_the_console_is_clean(hardened: VM, spec: Spec) -> None:
    holds(boot.line_problems(spec.boot, hardened.micro.console.text))
