"""Tests that the spec accepts by name: one that fails is shown as accepted, with the reason, and not as passed."""

from __future__ import annotations

import pytest

from hornet.results.junit import ACCEPTED
from hornet_fixtures.session import read_spec


def pytest_collection_finish(session: pytest.Session) -> None:
    """Only a verdict can be accepted: a test that could not be judged is an error as ever."""
    accepted = read_spec(session.config).accepted
    for item in session.items:
        reason = accepted.get(getattr(item, "originalname", item.name))
        if reason:
            item.add_marker(pytest.mark.xfail(reason=f"{ACCEPTED}: {reason}", raises=pytest.fail.Exception))
