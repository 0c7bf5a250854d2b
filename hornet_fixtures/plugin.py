"""The plugin that conftest.py loads: it only puts the parts together."""

from __future__ import annotations

from hornet_fixtures.options import pytest_addoption, pytest_configure

__all__ = ["pytest_addoption", "pytest_configure"]
