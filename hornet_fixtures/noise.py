"""Reads what the host does before a test that measures, for the noise in its records."""

from __future__ import annotations

import pytest

from hornet.host.noise import Reading, read_host
from hornet.results.noise import Noise

BEFORE = pytest.StashKey[Reading]()
RECORDING = frozenset({"record", "record_runs"})


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Read the host before the test, and before its fixtures, which may measure too."""
    if RECORDING & set(getattr(item, "fixturenames", ())):
        item.config.stash[BEFORE] = read_host()


def noise_until_now(config: pytest.Config) -> Noise:
    """The noise since the present test began."""
    return Noise.between(config.stash[BEFORE], read_host())
