"""Loads the suite's pytest plugin: see hornet_fixtures/."""

pytest_plugins = ["hornet_fixtures.plugin"]
