"""Every guest query that these tests need is started before the first test; tests run in the order of the answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from hornet_fixtures.prefetch import ready_s, start_all


@pytest.fixture(scope="session", autouse=True)
def _start_all(request: pytest.FixtureRequest) -> None:
    start_all(request)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of this folder in the order in which their answers arrive; other tests stay where they are."""
    places = [place for place, item in enumerate(items) if item.path.is_relative_to(Path(__file__).parent)]
    mine = sorted((items[place] for place in places), key=ready_s)
    for place, item in zip(places, mine, strict=True):
        items[place] = item
