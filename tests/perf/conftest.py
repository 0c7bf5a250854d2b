"""Shared by measurements, which must not run beside other work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hornet.spec.lane import Lane
from hornet.spec.model import Spec
from hornet_fixtures.prefetch import await_all


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Verdicts on measurements come last, whatever the names of the modules: values must be measured first."""
    items.sort(key=lambda item: item.get_closest_marker("gate") is not None)


@pytest.fixture(autouse=True)
def _alone(request: pytest.FixtureRequest) -> None:
    """Concurrent measurements would disturb each other."""
    if hasattr(request.config, "workerinput"):
        pytest.fail("tests/perf measures: run it without -n", pytrace=False)
    await_all(request.config)


@pytest.fixture
def describe(
    benchmark: Any, lane: Lane, host: dict[str, Any], run_directory: Path, spec: Spec, of_image: dict[str, str]
) -> Callable[..., None]:
    """Add metric, lane, host and dimensions to what pytest-benchmark saves: describe(metric, page_cache="cold")."""

    def write(metric: str, **dimensions: str | int) -> None:
        spec.quantity(metric)  # a misspelt name is an error
        known = {**dimensions, **of_image}
        benchmark.extra_info.update(run=run_directory.name, metric=metric, lane=str(lane), host=host, dimensions=known)

    return write
