"""How a test says that a check does not hold: every problem, one per line, and no traceback of the check itself."""

from __future__ import annotations

from collections.abc import Sequence

import pytest


def assert_no_problems(problems: Sequence[str]) -> None:
    """Fail the test with all problems that a check found; none means that the rule holds."""
    if problems:
        # A problem of several lines is indented: no name in it may begin a problem of its own.
        pytest.fail("\n".join(problem.replace("\n", "\n    ") for problem in problems), pytrace=False)
