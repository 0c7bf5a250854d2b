"""Waivers: requirements whose failure somebody accepts, with a name, a reason and an end."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import date
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from hornet.foreign_file import ForeignFileError, first_problem, read_toml
from hornet.spec.types import Line, Table, Token
from hornet.text import similar_names

WAIVERS_FILE = "waivers.toml"
MAX_WAIVERS_BYTES = 256 << 10
FORM = 'a waiver is a table: [ID], owner = "…", reason = "…", expires = YYYY-MM-DD, optional tier and lane'


class Waiver(Table):
    """owner: who answers for it. expires: the last day on which it counts. tier, lane: where it counts, if not
    everywhere."""

    owner: Line
    reason: Line
    expires: Annotated[date, Field(strict=True)]
    tier: Token | None = None
    lane: Line | None = None

    def covers(self, tier: str | None, lanes: Collection[str], today: date) -> bool:
        """Whether it counts today for an outcome of this tier and these lanes; all of them must be the waiver's."""
        in_tier = self.tier is None or self.tier == tier
        in_lane = self.lane is None or (bool(lanes) and set(lanes) == {self.lane})
        return in_tier and in_lane and not self.expired(today)

    def expired(self, today: date) -> bool:
        """Whether its last day is over."""
        return today > self.expires


_WAIVERS = TypeAdapter(dict[Token, Waiver])


def read_waivers(path: Path) -> dict[str, Waiver]:
    """The waivers of a file by requirement id. Raises ForeignFileError for a file that is not of this form."""
    try:
        return _WAIVERS.validate_python(read_toml(path, MAX_WAIVERS_BYTES))
    except ValidationError as error:
        raise ForeignFileError(f"{path}: {first_problem(error, Waiver.model_fields)}", FORM) from error


def waiver_problems(waivers: dict[str, Waiver], known: Iterable[str], today: date) -> list[str]:
    """One sentence for each waiver that is expired or names no requirement; both fail a run."""
    ids = list(known)
    return [
        f"waiver {key}: no requirement has this id{similar_names(key, ids)}"
        if key not in ids
        else f"waiver {key}: expired on {waiver.expires} (owner: {waiver.owner}): mend it, or renew the waiver"
        for key, waiver in waivers.items()
        if key not in ids or waiver.expired(today)
    ]
