"""Trials of procedures without a guest: a procedure that works wrongly is named, and so is a touched snapshot."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hornet.checks.procedures import (
    VersionFacts,
    mixture_problems,
    remaining_problems,
    rollback_problems,
    touched_problems,
)
from hornet.host.progress import Progress
from hornet.host.workspace import Workspace
from hornet.network import HostNet
from hornet.procedures import rollback
from hornet.procedures.trials import new_version, place
from hornet.procedures.trials.backup import mix_files, try_rollback
from hornet.procedures.trials.new_version import VersionTrial
from hornet.procedures.trials.place import TrialPlace, stats, trial_spec
from hornet.snapshot import Bundle
from hornet.spec.model import Spec, load_spec
from hornet.vm.fleet import Fleet
from hornet.vm.guest_script import Result
from hornet_fixtures.procedures import _judged
from tests.support import bundle_samples, ext4_samples
from tests.support.bundle_samples import NAMES

WORD = "change-1"


class FakeFleet:
    """Restores no VM: one of the version `new` would have the word. check: what a restore does first."""

    def __init__(self, home: Workspace, check: Callable[[Bundle], object]) -> None:
        self.workspace, self.spec, self._check = home, load_spec(), check

    def restore(self, bundle: Bundle) -> Any:
        self._check(bundle)
        said = WORD if bundle.directory.name == "new" else ""
        return SimpleNamespace(guest=SimpleNamespace(run=lambda script, timeout_s: Result(said, "", 0)))

    def remove(self, vm: object) -> None:
        pass


@pytest.fixture
def versions(tmp_path: Path) -> tuple[Bundle, Bundle]:
    """The new version and the backup, in a home."""
    home = Workspace(tmp_path).snapshots
    return bundle_samples.make_bundle(home / "new", seed=2), bundle_samples.make_bundle(home / "backup", seed=1)


def trial_place(home: Path, subject: Bundle, check: Callable[[Bundle], object] = Bundle.check_seal) -> TrialPlace:
    fleet = cast(Fleet, FakeFleet(Workspace(home), check))
    return TrialPlace(subject, fleet, fleet, cast(HostNet, None), Progress())


def test_rollback_that_switches_nothing_is_named(
    versions: tuple[Bundle, Bundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, backup = versions
    where = trial_place(tmp_path, backup)
    assert rollback_problems(try_rollback(where, new, backup, WORD)) == []
    monkeypatch.setattr(rollback, "switch_production", lambda workspace, bundle: None)
    assert rollback_problems(try_rollback(where, new, backup, WORD)) == ["production uses backup, expected new"]


def test_restore_of_mixed_files_is_named(versions: tuple[Bundle, Bundle], tmp_path: Path) -> None:
    new, backup = versions
    assert mixture_problems(mix_files(trial_place(tmp_path, backup), new, backup)) == []
    unsealed = trial_place(tmp_path, backup, Bundle.check_files)
    assert len(mixture_problems(mix_files(unsealed, new, backup))) == 3


@pytest.mark.parametrize("name", [NAMES.rootfs_file, NAMES.memory_file, NAMES.state_file])
def test_touched_snapshot_is_named(name: str, versions: tuple[Bundle, Bundle]) -> None:
    new, _ = versions
    before = stats(new)
    assert touched_problems("slimming", before, stats(new)) == []
    ext4_samples.flip(new.directory / name, 100)
    assert touched_problems("slimming", before, stats(new)) == [f"{name}: changed during: slimming"]


def test_everything_left_in_the_home_is_named(
    versions: tuple[Bundle, Bundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = trial_place(tmp_path, versions[1])
    monkeypatch.setattr(place, "take_inventory", lambda net: SimpleNamespace(vm_ids=[3]))
    for unfinished in ("run/vms/vm1", "run/mixture.tmp-1", "snapshots/.new.tmp-1"):
        (tmp_path / unfinished).mkdir(parents=True)
    assert remaining_problems(place.remaining(where)) == [
        "the procedures left: VM directories: vm1",
        "the procedures left: namespaces: vm3",
        "the procedures left: unfinished work: run/mixture.tmp-1, snapshots/.new.tmp-1",
    ]


def with_paths(paths: list[str]) -> Spec:
    data = load_spec().model_dump(mode="json")
    data["slim"]["removals"] = {"one": {"title": "one", "paths": paths}}
    return Spec.model_validate(data)


@pytest.mark.parametrize(
    ("paths", "planted"),
    [
        (["/usr/share/doc"], {"one": "/usr/share/doc/hornetos-planted"}),
        (["/usr/bin/perl*"], {"one": "/usr/bin/perlhornetos-planted"}),
        (["/var/log/*"], {"one": "/var/log/hornetos-planted"}),
        (["/usr/*/doc", "/usr/share/man"], {"one": "/usr/share/man/hornetos-planted"}),
        (["/usr/*/doc"], {}),
    ],
)
def test_planted_file_is_one_that_the_removal_matches(paths: list[str], planted: dict[str, str]) -> None:
    assert dict(new_version._plant(with_paths(paths))) == planted


@pytest.mark.parametrize(("tier", "tools"), [("micro", ["node", "git", "network"]), ("standard", None)])
def test_slimming_needs_the_tools_that_the_tier_has(tier: str, tools: list[str] | None) -> None:
    spec = load_spec()
    assert trial_spec(spec, tier).slim.tools == (tools or spec.slim.tools)


@pytest.mark.parametrize(
    ("published", "reason"), [(False, "none was published"), (True, "root file system is read-only")]
)
def test_trial_without_what_it_needs_is_not_judged(
    published: bool, reason: str, versions: tuple[Bundle, Bundle]
) -> None:
    """Neither passed nor failed: only the trial of the new version itself fails."""
    facts = VersionFacts(0, "", [], {}, None, "")
    trial = VersionTrial(facts, WORD, False, {}, "", versions[0] if published else None)
    nothing: Future[None] = Future()
    nothing.set_result(None)
    with pytest.raises(pytest.skip.Exception, match=f"^not judged: .*{reason}"):
        _judged(nothing, trial, needs_disk=True)
