"""Tries phase 1 on the new version, in which a file was planted for each removal."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from hornet.checks.procedures import SlimFacts
from hornet.procedures.slim import slim_snapshot
from hornet.procedures.trials.place import TIMEOUT_S, TrialPlace
from hornet.snapshot import Bundle

VERSION = "slim"


def try_slim(place: TrialPlace, base: Bundle, planted: Mapping[str, str]) -> SlimFacts:
    """Slim `base`, then restore the result and look for the planted files.

    Raises GuestError, SnapshotError, VMError.
    """
    report = slim_snapshot(place.fleet, base, place.progress, version=VERSION)
    titles = {name: removal.title for name, removal in place.fleet.spec.slim.removals.items()}
    saved = {saving.title: saving.saved_mb for saving in report.savings}
    left = _left(place, report.snapshot, planted) if report.snapshot else []
    return SlimFacts(
        planted=planted,
        left=left,
        saved_mb={name: saved[title] for name, title in titles.items() if title in saved},
        tool_problems=report.tool_problems,
        published=report.snapshot is not None,
    )


def _left(place: TrialPlace, slimmed: Bundle, planted: Mapping[str, str]) -> list[str]:
    vm = place.fleet.restore(slimmed)
    try:
        script = "".join(f"test ! -e {path} || echo {path}\n" for path in map(shlex.quote, planted.values()))
        return vm.guest.run(script, TIMEOUT_S).stdout.splitlines()
    finally:
        place.fleet.remove(vm)
