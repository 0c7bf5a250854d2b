"""A process keeps running across snapshot and restore: proved on a clone that is snapshotted and restored again."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from hornet.checks.continuity import continuity_problems, read_witness, start_witness
from hornet.fleet import Fleet
from hornet.home import Home
from hornet.snapshot import Bundle
from hornet.snapshot.take import origin_of_child, take_snapshot
from hornet.spec import Spec
from hornet_fixtures.judging import holds

pytestmark = [pytest.mark.conformance, pytest.mark.guide("memory-and-disk-agree")]


def test_a_process_goes_on(fleet: Fleet, bundle: Bundle, spec: Spec, tmp_path: Path) -> None:
    parent = fleet.restore(bundle, own_memory=True)
    start_witness(parent.guest, secrets.token_hex(8))
    before = read_witness(parent.guest)
    child = take_snapshot(parent, Home(tmp_path), spec, version="child", origin=origin_of_child(parent, spec))
    fleet.remove(parent)
    restored = fleet.restore(child)
    after = read_witness(restored.guest)
    fleet.remove(restored)
    holds(continuity_problems(before, after))
