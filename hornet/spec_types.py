"""What the tables of the specification are made of: a strict table, and values that are checked when read."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return text


def _mac(text: str) -> str:
    if not re.fullmatch(r"([0-9a-f]{2}:){5}[0-9a-f]{2}", text):
        raise ValueError("expected six lower-case hex pairs joined by colons, as in 02:48:4f:00:00:01")
    return text


Pattern = Annotated[str, AfterValidator(_pattern)]
Mac = Annotated[str, AfterValidator(_mac)]
Symbol = Annotated[str, Field(pattern=r"^[A-Z0-9][A-Za-z0-9_]*$")]
Version = Annotated[str, Field(pattern=r"^\d+(\.\d+)+$")]
Positive = Annotated[float, Field(gt=0)]
# linux/if.h: IFNAMSIZ, without the final zero byte.
INTERFACE_NAME_BYTES = 15
InterfaceName = Annotated[str, Field(min_length=1, max_length=INTERFACE_NAME_BYTES, pattern=r"^[!-.0-~]+$")]


class Table(BaseModel):
    """A TOML table: unknown keys are errors, values can't change."""

    model_config = ConfigDict(extra="forbid", frozen=True)
