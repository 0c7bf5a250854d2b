"""The order of the files: with `--dist=loadfile --no-loadscope-reorder`, pytest-xdist starts them in it."""

from __future__ import annotations

import pytest

# The files that take longest, and so begin first: no worker then waits for them in the end. Most of the first one's
# time is a complete run.
LONGEST = ("test_installed.py", "test_fleet_of_hosts.py", "test_sops.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))
