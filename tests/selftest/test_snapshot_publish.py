"""Publishing and switching production: a kill -9 at any step leaves the old state or the new one."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from hornet.errors import SnapshotError
from hornet.host.workspace import Workspace
from hornet.snapshot import Bundle, open_bundle, production, publishing, switch_production
from hornet.snapshot.manifest import MANIFEST_FILE
from tests.support import bundle_samples
from tests.support.bundle_samples import NAMES, ORIGIN

# What Python reports before it does it: opening, making, renaming, removing, locking a file, starting a thread …
MOST_STEPS = 1000


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The three files, to be copied into a new version."""
    directory = tmp_path_factory.mktemp("parts")
    bundle = Bundle(directory, NAMES)
    bundle_samples.fill(bundle)
    os.truncate(bundle.memory, 50_000)
    return bundle


def killed_at(step: int, action: Callable[[], object]) -> bool:
    """Do something in a process that is killed by SIGKILL at its step-th operation; False: it came to its end."""
    child = os.fork()
    if child == 0:
        steps_left = step

        def count(event: str, arguments: object) -> None:
            nonlocal steps_left
            steps_left -= 1
            if steps_left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        try:
            action()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def seal(bundle: Bundle) -> None:
    bundle.seal("v2.0", ORIGIN)


def publish(parts: Bundle, target: Path, finish: Callable[[Bundle], object] = seal) -> None:
    with publishing(target, NAMES) as bundle:
        for source in parts.files:
            shutil.copyfile(source, bundle.directory / source.name)
        finish(bundle)


def test_killed_publication_is_complete_or_absent(parts: Bundle, tmp_path: Path) -> None:
    outcomes = []
    for step in range(1, MOST_STEPS):
        snapshots = tmp_path / str(step)
        snapshots.mkdir()
        target = snapshots / "v2.0"
        killed = killed_at(step, partial(publish, parts, target))
        outcomes.append(target.exists())
        if target.exists():
            open_bundle(target, NAMES).check_full()
        else:
            publish(parts, target)
            open_bundle(target, NAMES).check_full()
        left = [path.name for path in snapshots.iterdir() if path.name not in ("v2.0", ".v2.0.lock")]
        assert left == [], f"step {step}: the next publication removes what a killed one left"
        shutil.rmtree(snapshots)
        if not killed:
            break
    assert not killed, "every step was tried"
    assert outcomes == sorted(outcomes), "not there before the rename, there ever after"
    assert outcomes[0] is False
    assert outcomes[-1] is True


def test_killed_production_switch_is_atomic(parts: Bundle, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    for version in ("v1.0", "v2.0"):
        publish(parts, workspace.snapshots / version)
    old, new = (open_bundle(workspace.snapshots / version, NAMES) for version in ("v1.0", "v2.0"))
    seen = set()
    for step in range(1, MOST_STEPS):
        switch_production(workspace, old)
        killed = killed_at(step, lambda: switch_production(workspace, new))
        seen.add(production(workspace, NAMES))
        if not killed:
            break
    assert not killed
    assert seen == {old.directory, new.directory}
    assert production(workspace, NAMES) == new.directory


def interrupt(bundle: Bundle) -> None:
    raise KeyboardInterrupt


def seal_and_change(bundle: Bundle) -> None:
    seal(bundle)
    bundle.state.write_bytes(bytes(bundle.state.stat().st_size))


@pytest.mark.parametrize(
    ("finish", "error", "why"),
    [
        (interrupt, KeyboardInterrupt, None),
        (lambda bundle: None, SnapshotError, "never sealed"),
        (seal_and_change, SnapshotError, "content changed"),
    ],
    ids=["interrupted", "not sealed", "changed after the seal"],
)
def test_failed_snapshot_is_not_published(
    finish: Callable[[Bundle], object], error: type[BaseException], why: str | None, parts: Bundle, tmp_path: Path
) -> None:
    with pytest.raises(error, match=why):
        publish(parts, tmp_path / "v2.0", finish)
    assert [path.name for path in tmp_path.iterdir()] == [".v2.0.lock"]


def test_a_version_is_never_published_twice(parts: Bundle, tmp_path: Path) -> None:
    publish(parts, tmp_path / "v2.0")
    before = (tmp_path / "v2.0" / MANIFEST_FILE).read_bytes()
    with pytest.raises(SnapshotError, match="already exists"):
        publish(parts, tmp_path / "v2.0")
    assert (tmp_path / "v2.0" / MANIFEST_FILE).read_bytes() == before


def test_a_copy_in_the_place_of_the_production_link_is_kept(parts: Bundle, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    publish(parts, workspace.snapshots / "v1.0")
    copy = workspace.snapshots / NAMES.production_link
    copy.mkdir()
    with pytest.raises(SnapshotError, match="not a symbolic link"):
        switch_production(workspace, open_bundle(workspace.snapshots / "v1.0", NAMES))
    assert copy.is_dir()
    assert production(workspace, NAMES) is None
