"""The environment of the pytest that `hornetos run` starts: what may narrow a run without a word is left out."""

from __future__ import annotations

import os

# Where temporary files go, and nothing else.
KEPT = ("PYTEST_DEBUG_TEMPROOT",)
# Other variables that change what tests judge: Python then leaves out assert statements outside of test modules.
CHANGING = ("PYTHONOPTIMIZE",)


def pytest_environment() -> tuple[dict[str, str], list[str]]:
    """The environment without settings of pytest, and the settings that were left out, as NAME=VALUE."""
    left_out = [name for name in os.environ if (name.startswith("PYTEST_") and name not in KEPT) or name in CHANGING]
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    return environment, [f"{name}={os.environ[name]}" for name in sorted(left_out)]
