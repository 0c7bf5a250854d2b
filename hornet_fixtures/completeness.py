"""Writes the names of all collected tests to the run directory, so that a test that did not run is detected."""

from __future__ import annotations

import pytest

from hornet.results.collected import note_collected
from hornet.results.junit import module_name
from hornet_fixtures.recording import RUN_DIRECTORY

_COLLECTED = pytest.StashKey[list[tuple[str, str]]]()
FIRST_WORKER = "gw0"


def pytest_itemcollected(item: pytest.Item) -> None:
    """Store the test's name before any option deselects it."""
    module = module_name(item.path.with_suffix("").parts)
    item.config.stash.setdefault(_COLLECTED, []).append((module, item.name))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Write the names. With pytest-xdist every worker collects the same tests, so only the first one writes."""
    config = session.config
    worker = getattr(config, "workerinput", {}).get("workerid", FIRST_WORKER)
    collected = config.stash.get(_COLLECTED, [])
    if config.option.collectonly or worker != FIRST_WORKER or not collected:
        return
    directory = config.stash[RUN_DIRECTORY]
    directory.mkdir(parents=True, exist_ok=True)
    note_collected(directory, collected)
