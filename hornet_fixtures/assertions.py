"""Fails a test with the problems that a check found: one per line, without a traceback of the check."""

from __future__ import annotations

from collections.abc import Sequence

import pytest


def assert_no_problems(problems: Sequence[str]) -> None:
    """Fail the test if a check found problems, and show all of them."""
    if problems:
        # Indent the continuation lines: a name with a newline must not look like another problem.
        pytest.fail("\n".join(problem.replace("\n", "\n    ") for problem in problems), pytrace=False)
