"""Runs that are narrower on purpose: --quick and --rerun-of. What they leave out is listed as collected, so not run."""

from __future__ import annotations

from pathlib import Path

import pytest

from hornet.errors import HornetError
from hornet.results.outcomes import TEST_PROPERTY
from hornet.results.rerun import failed_or_missing, is_selected
from hornet.results.run import load_run
from hornet_fixtures.prefetch import is_quick


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect after all other hooks, so that the tests keep their order."""
    if config.getoption("quick"):
        _keep(config, items, [item for item in items if is_quick(item)])
    if first := config.getoption("rerun_of"):
        try:
            selected = failed_or_missing(load_run(Path(first)))
        except HornetError as error:
            raise pytest.UsageError(str(error)) from error
        _keep(config, items, [item for item in items if is_selected(_name(item), selected)])


def _keep(config: pytest.Config, items: list[pytest.Item], kept: list[pytest.Item]) -> None:
    left_out = [item for item in items if item not in kept]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept


def _name(item: pytest.Item) -> str:
    return str(dict(item.user_properties).get(TEST_PROPERTY, ""))
