"""A snapshot full of witnesses and its clones, shared by all tests of hazards: see hornet/family.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hornet.family import Family, raise_family
from hornet.fleet import Fleet
from hornet.home import Home
from hornet.snapshot import Bundle


@pytest.fixture(scope="session")
def family(fleet: Fleet, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Family]:
    """The family, its clones running; its snapshot is removed with the test run's temporary files."""
    with raise_family(fleet, bundle, Home(tmp_path_factory.mktemp("family"))) as made:
        yield made
