"""The locale of child processes: the suite reads some of their messages, and tests expect the same bytes everywhere."""

from __future__ import annotations

# LANGUAGE outranks LC_ALL for messages, except in the locale C; C.UTF-8 is not C. Empty, it counts as not set.
FIXED_LOCALE = {"LC_ALL": "C.UTF-8", "LANG": "C.UTF-8", "LANGUAGE": ""}
