"""The tiers of images, their init systems and their tools: spec/tiers.toml and spec/tools.toml."""

from __future__ import annotations

import re

from pydantic import model_validator

from hornet.spec.types import Command, ImagePath, Line, Pattern, Positive, Script, Table, Token


class Init(Table):
    """A first process. `command`: what the kernel's /sbin/init hands over to. `script` prints what `pattern` finds in
    a guest that this init brought up."""

    title: Line
    command: Line
    script: Script
    pattern: Pattern


class Tier(Table):
    """A tier (guide: HornetOS Tiers). Sizes in MB; exempt_from_removals: names in [removals].

    init: a name in [inits]. ssh_server: the name of its process. shell: root's. kernel_component: the row of the
    kernel, which is no part of the image.
    """

    title: Line
    max_mb: Positive
    init: Token
    ssh_server: Command
    shell: ImagePath
    components: dict[Line, Positive]
    kernel_component: Line
    exempt_from_removals: list[Token] = []

    @model_validator(mode="after")
    def _consistent(self) -> Tier:
        if self.kernel_component not in self.components:
            raise ValueError(f"kernel_component {self.kernel_component!r} is none of components")
        return self


class Tool(Table):
    """A required capability (guide: Design Goals, Required Capabilities).

    `use` is a shell script that does real work with the tool in the guest and exits 0 only if that went well; without
    one, the version command is the real use, as for a program that takes tens of seconds to say so much.
    `tiers`: those that must have it; all of them unless named. `requirement`: the id of the one that it proves;
    tool-<name> unless named. `version_accepted`, `version_rejected`: examples of what the version command prints, which
    `version_pattern` must match and must not match. The self-tests break each tool of the project's own spec with them.
    """

    title: Line
    purpose: Line
    needs: list[Command]
    version_command: Script
    version_pattern: Pattern
    version_accepted: Script | None = None
    version_rejected: Script | None = None
    use: Script | None = None
    tiers: list[Token] = []
    requirement: Token | None = None

    @model_validator(mode="after")
    def _pattern_tells_versions_apart(self) -> Tool:
        if self.version_accepted is not None and not self.accepts(self.version_accepted):
            raise ValueError(f"version_pattern {self.version_pattern!r} does not match version_accepted")
        if self.version_rejected is not None and self.accepts(self.version_rejected):
            raise ValueError(f"version_pattern {self.version_pattern!r} matches version_rejected")
        return self

    def accepts(self, printed: str) -> bool:
        """Whether what the version command printed tells of an accepted version."""
        return bool(re.search(self.version_pattern, printed, re.MULTILINE))
