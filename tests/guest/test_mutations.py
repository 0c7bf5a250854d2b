"""What a guest shows that is restored on changed files with --no-seal: the matrix's last columns."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hornet.errors import HornetError, VMError
from hornet.formats.ext4.symptoms import log_symptoms
from hornet.formats.ext4.verdict import judge_ext4
from hornet.host.workspace import Workspace
from hornet.snapshot import Bundle
from hornet.vm.fleet import VM, Fleet
from hornet.vm.snapshotting import origin_of_child, take_snapshot
from tests.support.mutations import EXPECTED, MUTATIONS, Subject

pytestmark = [pytest.mark.guest, pytest.mark.requirement("wrong-approach-corrupts", "trouble-ext4")]

VICTIM = "/opt/hornetos/healthcheck.sh"
TIMEOUT_S = 90
# Other rows leave the files' bytes as they were (test_snapshot_matrix.py proves it): there is nothing to try.
CHANGED = [name for name in MUTATIONS if EXPECTED[name].disk_after != "same bytes"]
MAKE_ANOTHER = f"for i in 1 2 3 4 5; do head -c 100000 /dev/urandom >/root/other-$i || exit 1; done; rm {VICTIM}"
# Reads everything, then writes where the host wrote: wrong memory meets the disk.
USE = """
find / -xdev -type f -exec cat {} + >/dev/null || echo unreadable
for i in 1 2 3 4 5 6 7 8 9 10; do
    mkdir -p /root/work-$i /opt/hornetos/work-$i || echo unwritable
    head -c 200000 /dev/urandom >/root/work-$i/file || echo unwritable
    echo x >/opt/hornetos/work-$i/file || echo unwritable
done
sync
rm -rf /root/work-* /opt/hornetos/work-*
sync
dmesg
"""


@pytest.fixture(scope="module")
def unchecked_fleet(new_fleet: Callable[..., Fleet]) -> Iterator[Fleet]:
    """A fleet that checks no seal."""
    with new_fleet(check_seals=False) as fleet:
        yield fleet


@pytest.fixture(scope="module")
def other(unchecked_fleet: Fleet, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bundle]:
    """Another version: the next one of the same image."""
    workspace = Workspace(tmp_path_factory.mktemp("other"))
    vm = unchecked_fleet.restore(bundle, snapshottable=True)
    vm.guest.check_output(MAKE_ANOTHER, TIMEOUT_S)
    yield take_snapshot(
        vm, workspace, unchecked_fleet.spec, version="other", origin=origin_of_child(vm, unchecked_fleet.spec)
    )
    unchecked_fleet.remove(vm)
    shutil.rmtree(workspace.root)


@pytest.fixture
def subject(bundle: Bundle, other: Bundle, tmp_path: Path) -> Iterator[Subject]:
    """A copy to change."""
    directory = tmp_path / "copy"
    directory.mkdir()
    copy = bundle.copied_to(directory)
    copy.check_seal()
    yield Subject(copy, other, VICTIM)
    shutil.rmtree(directory)


@pytest.mark.parametrize("name", CHANGED)
def test_guest_on_changed_files_shows_the_expected_symptoms(
    name: str, subject: Subject, unchecked_fleet: Fleet, tmp_path: Path
) -> None:
    expected = EXPECTED[name]
    MUTATIONS[name](subject)
    if expected.disk_after == "no restore":
        with pytest.raises(VMError):
            unchecked_fleet.restore(subject.bundle)
        return
    vm = unchecked_fleet.restore(subject.bundle)
    try:
        found = symptoms(vm), disk_after(vm, tmp_path)
    finally:
        unchecked_fleet.remove(vm)
    assert found[0] in expected.guest_symptoms
    assert found[1] == expected.disk_after


def symptoms(vm: VM) -> str:
    try:
        said = vm.guest.check_output(USE, TIMEOUT_S)
    except HornetError as error:
        if error.timed_out:
            raise
        return "errors"
    return "errors" if "unreadable" in said or "unwritable" in said or log_symptoms(said) else "silent"


def disk_after(vm: VM, work: Path) -> str:
    vm.vmm.pause()
    return "sound" if judge_ext4(vm.disk, work).sound else "damaged"
