"""Which tier an image is built as, and whose rules judge it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hornet.errors import HornetError
from hornet.snapshot import Manifest
from hornet_fixtures.session import read_spec

DEFAULT = "standard"


def built_tier(config: pytest.Config) -> str:
    """The tier that is built when nothing finished is given."""
    return str(config.getoption("tier") or config.getoption("require") or DEFAULT)


def judged_tier(config: pytest.Config) -> str:
    """The tier to judge by: --require, else --tier, else what the given snapshot says it is, else the default.

    Raises pytest.UsageError for a tier that the spec does not have, or a snapshot that can't be read.
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
