"""Selects the tier to build and the tier whose rules are enforced."""

from __future__ import annotations

from pathlib import Path

import pytest

from hornet.errors import HornetError
from hornet.snapshot import Manifest
from hornet_fixtures.session import read_spec

DEFAULT = "standard"


def built_tier(config: pytest.Config) -> str:
    """The tier to build if neither an image nor a snapshot is given."""
    return str(config.getoption("tier") or config.getoption("require") or DEFAULT)


def judged_tier(config: pytest.Config) -> str:
    """The tier to judge by: --require, else --tier, else the tier in the given snapshot's manifest, else the default.

    Raises pytest.UsageError for an unknown tier or an unreadable snapshot.
    """
    try:
        name = str(config.getoption("require") or config.getoption("tier") or _claimed_tier(config) or DEFAULT)
        read_spec(config).tier(name)
    except HornetError as error:
        raise pytest.UsageError(str(error)) from error
    return name


def _claimed_tier(config: pytest.Config) -> str | None:
    snapshot = config.getoption("snapshot")
    return Manifest.read(Path(snapshot)).origin.tier if snapshot else None
