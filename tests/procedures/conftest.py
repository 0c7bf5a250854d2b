"""The trials that these tests need are started before the first test; tests run in the order of their ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from hornet_fixtures.prefetch import sort_by_answers, start_all


@pytest.fixture(scope="session", autouse=True)
def _start_all(request: pytest.FixtureRequest) -> None:
    start_all(request)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    sort_by_answers(items, Path(__file__).parent)
