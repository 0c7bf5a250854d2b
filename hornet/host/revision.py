"""Which revision of the suite runs."""

from __future__ import annotations

from functools import cache

from hornet.errors import CommandError
from hornet.host.proc import run
from hornet.installation import IN_CHECKOUT, SOURCE

GIT_TIMEOUT_S = 10


@cache
def source_revision() -> str | None:
    """The checkout's commit, with `-dirty` if files differ from it; None outside a checkout, or without git."""
    if not IN_CHECKOUT:
        return None
    # Git refuses a checkout of another user, and `sudo` makes this one root's.
    words = ["git", "-c", "safe.directory=*", "-C", str(SOURCE), "describe", "--always", "--abbrev=40", "--dirty"]
    try:
        return run(words, timeout_s=GIT_TIMEOUT_S).output.strip() or None
    except CommandError:
        return None
