"""A snapshot full of witnesses and its clones, shared by all tests of hazards: see hornet/family.py."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from hornet.family import Family, raise_family
from hornet.fleet import Fleet
from hornet.home import Home
from hornet.snapshot import Bundle


@pytest.fixture(scope="session")
def begun_family(
    workers: ThreadPoolExecutor, fleet: Fleet, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> Future[Family]:
    """The family; its snapshot is removed with the test run's temporary files."""
    return workers.submit(raise_family, fleet, bundle, Home(tmp_path_factory.mktemp("family")))


@pytest.fixture(scope="session")
def family(begun_family: Future[Family]) -> Family:
    """The family, its clones paused."""
    return begun_family.result()
