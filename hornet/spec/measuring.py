"""How often each measurement is repeated: spec/measuring.toml."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hornet.spec.types import MAX_ROUNDS, Script, Table, Token


class Rounds(Table):
    """How often each measurement is repeated. restore: for each state of the page cache.

    clones: how many clones of one snapshot run at the same time when their memory is measured.
    """

    restore: Annotated[int, Field(ge=1, le=MAX_ROUNDS)]
    boot: Annotated[int, Field(ge=1, le=MAX_ROUNDS)]
    clones: Annotated[int, Field(ge=2, le=MAX_ROUNDS)]


class Perf(Table):
    """Rounds in lanes whose times are judged, and in emulated ones.

    max_unexplained_share: of the repetitions' wall time, the share that no phase explains, at most.
    """

    kvm: Rounds
    emulated: Rounds
    max_unexplained_share: Annotated[float, Field(ge=0, lt=1)]

    def rounds(self, *, judged: bool) -> Rounds:
        return self.kvm if judged else self.emulated


class Instructions(Table):
    """What is counted in instructions of the guest. commands: a script by the name of the tool that it uses."""

    rounds: Annotated[int, Field(ge=1, le=MAX_ROUNDS)]
    commands: dict[Token, Script]
