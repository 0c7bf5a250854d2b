"""Guests are asked ahead for everything that the collected tests will judge, and tests wait in line for that."""

from __future__ import annotations

from pathlib import Path

import pytest

from hornet_fixtures.prefetch import begin_all, place_in_line


@pytest.fixture(scope="session", autouse=True)
def _begin_all(request: pytest.FixtureRequest) -> None:
    begin_all(request)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of this folder in the order of what they wait for; other tests stay where they are."""
    places = [place for place, item in enumerate(items) if item.path.is_relative_to(Path(__file__).parent)]
    mine = sorted((items[place] for place in places), key=place_in_line)
    for place, item in zip(places, mine, strict=True):
        items[place] = item
