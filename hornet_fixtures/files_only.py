"""A given image that no VM can boot is judged by its files: tests that need a VM are skipped before any is started."""

from __future__ import annotations

import pytest

from hornet_fixtures.under_test import given_source

OF_VMS = {"lane", "fleet", "new_fleet", "bundle"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip them as not judged, so that the verdict names the requirements that have no outcome."""
    source = given_source(config)
    if source is None or source.boots or config.getoption("snapshot"):
        return
    for item in items:
        if OF_VMS & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.skip(reason=source.why_not_judged))
