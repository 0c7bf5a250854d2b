"""How a guest under test came to run."""

from __future__ import annotations

from typing import Literal, get_args

Life = Literal["restored", "booted"]
LIVES: tuple[Life, ...] = get_args(Life)
RESTORED, BOOTED = LIVES
