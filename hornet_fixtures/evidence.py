"""Keeps the evidence of the VMs that a test used in the run directory: of a failed test, or of all (--evidence=all)."""

from __future__ import annotations

import re
import shutil
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from hornet.errors import HornetError
from hornet.host.file_copy import PRIVATE_DIRECTORY_MODE
from hornet.host.interrupts import ended_by
from hornet.host.owned import Owned
from hornet.results.outcomes import EVIDENCE_DIRECTORY
from hornet.vm.evidence import Evidence, park
from hornet.vm.fleet import VM, Fleet
from hornet_fixtures.debugging import lines_of_kept_vms, release_vms
from hornet_fixtures.vm_users import users_of

MAX_NAME_CHARACTERS = 60


class RunEvidence:
    """The evidence of one run. Files of removed VMs are parked until it is known whether their test passed."""

    def __init__(self, run_directory: Path, *, keep_all: bool) -> None:
        self.run_directory = run_directory
        self.store = Evidence(run_directory / EVIDENCE_DIRECTORY)
        self._keep_all = keep_all
        self._parked: dict[VM, Path] = {}
        self._parking: Owned | None = None
        self._lock = threading.Lock()  # VMs are removed on several threads
        self._removed = 0
        # By VM and test, "" for a VM that has failed or that several tests share: it has nothing new for the next test.
        self._kept: dict[tuple[VM, str], Path] = {}

    def note_removal(self, vm: VM) -> None:
        """Fleet's on_remove: keep the files of a VM for a moment. Raises OSError."""
        place = self._new_place(vm)
        failing = isinstance(sys.exception(), HornetError | AssertionError)
        park(vm, place, ask_guest=failing or (self._keep_all and not ended_by()))
        self._parked[vm] = place
        if shown := self._kept.get((vm, "")):
            self.store.update(shown, place)

    def _new_place(self, vm: VM) -> Path:
        with self._lock:
            if self._parking is None:
                self.run_directory.mkdir(parents=True, exist_ok=True)
                self._parking = Owned.work_directory(self.run_directory, "parked", PRIVATE_DIRECTORY_MODE)
            self._removed += 1
            return self._parking.path / f"{self._removed}-{vm.name}"

    def vms_of(self, item: pytest.Item) -> list[VM]:
        """The VMs that a test used, also those that are gone by now, in the order of their start."""
        users = users_of(item)
        known = [*self._parked, *Fleet.kept, *Fleet.running]
        return [vm for vm in dict.fromkeys(known) if vm.started_by in users and hasattr(vm, "vmm")]

    def keep(self, item: pytest.Item, vm: VM) -> Path | None:
        """The directory with the evidence of a VM for a test; None if there is none, or no room for it."""
        shared = vm.vmm.failure.failed or (self._keep_all and vm.started_by != item.nodeid)
        key = (vm, "" if shared else item.nodeid)
        if key in self._kept:
            return self._kept[key]
        user = item.name if vm.started_by == item.nodeid or not self._keep_all else vm.started_by
        name = re.sub(r"[^\w.-]+", "_", f"{user[:MAX_NAME_CHARACTERS]}-{vm.name}")
        made = None
        with suppress(OSError):
            parked = self._parked.get(vm)
            made = self.store.keep_parked(parked, name) if parked else self.store.keep(vm, name)
        if made:
            self._kept[key] = made
        return made

    def relative(self, directory: Path) -> str:
        """The value of EVIDENCE_PROPERTY for a directory."""
        inside = directory.is_relative_to(self.run_directory)
        return str(directory.relative_to(self.run_directory) if inside else directory)

    def keep_passed(self, item: pytest.Item) -> list[Path]:
        """The directories for a test that passed: with --evidence=all only."""
        return [kept for vm in self.vms_of(item) if (kept := self.keep(item, vm))] if self._keep_all else []

    def forget(self, item: pytest.Item) -> None:
        """Delete what is parked of the VMs that only this test used."""
        for vm in [vm for vm in self._parked if vm.started_by == item.nodeid]:
            shutil.rmtree(self._parked.pop(vm), ignore_errors=True)

    def close(self) -> None:
        """Delete what is still parked."""
        if self._parking:
            self._parking.remove()


RUN_EVIDENCE = pytest.StashKey[RunEvidence]()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how many VMs left no evidence because of the limit, and which VMs outlive the run."""
    store = config.stash[RUN_EVIDENCE].store
    if store.left_out:
        terminalreporter.write_line(f"{store.left_out} times: {store.why_not_kept}", yellow=True)
    for line in lines_of_kept_vms():
        terminalreporter.write_line(line)


@pytest.hookimpl(tryfirst=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Before the run directory is removed if it is empty."""
    release_vms(config)
    if evidence := config.stash.get(RUN_EVIDENCE, None):
        evidence.close()
