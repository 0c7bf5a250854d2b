"""VM ids: never the same twice, across objects and processes, and given back by a process that dies."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hornet.errors import NetworkError
from hornet.host.workspace import Workspace
from hornet.installation import SOURCE
from hornet.network import VMIds

HOLDER = """
import sys
from pathlib import Path
from hornet.host.workspace import Workspace
from hornet.network import VMIds
ids = VMIds(Workspace(Path(sys.argv[1])), 100)
print(*(ids.take() for _ in range(3)), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def test_lowest_ids_come_first_and_are_reused(workspace: Workspace) -> None:
    ids = VMIds(workspace, 10)
    assert [ids.take() for _ in range(4)] == [1, 2, 3, 4]
    ids.release(3)
    ids.release(2)
    assert [ids.take() for _ in range(3)] == [2, 3, 5]


def test_two_owners_never_share_an_id(workspace: Workspace) -> None:
    one, two = VMIds(workspace, 10), VMIds(workspace, 10)
    taken = [owner.take() for _ in range(5) for owner in (one, two)]
    assert sorted(taken) == list(range(1, 11))
    with pytest.raises(NetworkError, match=r"all VM ids 1 … 10 are in use"):
        one.take()
    two.release(7 if 7 in taken[1::2] else 8)
    assert one.take() in (7, 8)


def test_requested_id_is_given(workspace: Workspace) -> None:
    one, two = VMIds(workspace, 10), VMIds(workspace, 10)
    assert one.try_take(2)
    assert not one.try_take(2)
    assert not two.try_take(2)
    one.release(2)
    assert two.try_take(2)
    assert [one.take(), one.take()] == [1, 3]


def test_a_killed_process_gives_its_ids_back(workspace: Workspace) -> None:
    argv = [sys.executable, "-c", HOLDER, str(workspace.root)]
    with subprocess.Popen(argv, env={**os.environ, "PYTHONPATH": str(SOURCE)}, stdin=-1, stdout=-1) as holder:
        assert holder.stdout
        assert holder.stdout.readline().split() == [b"1", b"2", b"3"]
        assert VMIds(workspace, 100).take() == 4
        holder.kill()
        holder.communicate(timeout=10)
    assert VMIds(workspace, 100).take() == 1


def test_a_thousand_take_one_descriptor(workspace: Workspace) -> None:
    ids = VMIds(workspace, 2000)
    before = len(os.listdir("/proc/self/fd"))
    assert [ids.take() for _ in range(1000)] == list(range(1, 1001))
    assert len(os.listdir("/proc/self/fd")) == before
