"""What measurements share: nothing else may run beside them."""

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
    """What is judged must be measured first: verdicts on measurements come last, whatever the modules are called."""
    items.sort(key=lambda item: item.get_closest_marker("gate") is not None)


@pytest.fixture(autouse=True)
def _alone(request: pytest.FixtureRequest) -> None:
    """Two measurements at once measure each other."""
    if hasattr(request.config, "workerinput"):
        pytest.fail("tests/perf measures: run it without -n", pytrace=False)
    await_all(request.config)


@pytest.fixture
def describe(benchmark: Any, lane: Lane, host: dict[str, Any], run_directory: Path, spec: Spec) -> Callable[..., None]:
    """Say in what pytest-benchmark saves what was measured, where and on what: describe(metric, page_cache="cold")."""

    def write(metric: str, **dimensions: str | int) -> None:
        spec.quantity(metric)  # a misspelt name is an error
        benchmark.extra_info.update(
            run=run_directory.name, metric=metric, lane=str(lane), host=host, dimensions=dimensions
        )

    return write
