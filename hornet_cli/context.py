"""The settings that every command gets: the spec, the workspace, the progress printer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import typer

from hornet.host.emulation import set_patience
from hornet.host.progress import Progress
from hornet.host.workspace import Workspace
from hornet.spec.model import Spec, load_spec


@dataclass(frozen=True)
class Settings:
    """The global options. The spec is read on first use."""

    workspace: Workspace
    spec_path: Path | None = None
    overlays: tuple[Path, ...] = ()

    @cached_property
    def spec(self) -> Spec:
        found = self.spec_with([])
        set_patience(found.lab.patience)
        return found

    def spec_with(self, overlays: list[Path]) -> Spec:
        """The spec with further overlays."""
        return load_spec(self.spec_path, [*self.overlays, *overlays])

    @cached_property
    def progress(self) -> Progress:
        return Progress()


def settings(ctx: typer.Context) -> Settings:
    """The settings that the top-level callback stored in the context."""
    found = ctx.find_object(Settings)
    if found is None:
        raise RuntimeError("hornetos commands run below the top-level app")
    return found
