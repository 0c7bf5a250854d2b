"""The tiers of images, their init systems and their tools: spec/tiers.toml and spec/tools.toml."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import model_validator

from hornet.spec.types import Command, ImagePath, Line, Pattern, Positive, Script, Table, Token


class Init(Table):
    """An init system. `command`: the program that /sbin/init starts. In a guest that this init booted, the output of
    `script` matches `pattern`."""

    title: Line
    command: Line
    script: Script
    pattern: Pattern


# How an image stores /usr: as plain files of its ext4, or compressed in one file of it.
Layout = Literal["plain", "compressed"]
# What a VM has as its root file system: a private copy of rootfs.ext4, or the same file as all clones of its snapshot.
Root = Literal["disk", "shared"]


class Tier(Table):
    """A tier (guide: HornetOS Tiers). Sizes in MB; exempt_from_removals: names in [removals].

    init: a name in [inits]. ssh_server: the name of the SSH server's process. shell: root's shell. kernel_component:
    the row of the kernel, which is not part of the image.
    """

    title: Line
    max_mb: Positive
    init: Token
    ssh_server: Command
    shell: ImagePath
    components: dict[Line, Positive]
    kernel_component: Line
    layout: Layout = "plain"
    root: Root = "disk"
    exempt_from_removals: list[Token] = []

    @model_validator(mode="after")
    def _consistent(self) -> Tier:
        if self.kernel_component not in self.components:
            raise ValueError(f"kernel_component {self.kernel_component!r} is not in components")
        if self.root == "shared" and self.layout == "compressed":
            raise ValueError(
                'root = "shared" needs layout = "plain": each guest would decompress /usr into its own memory'
            )
        return self


class Tool(Table):
    """A required capability (guide: Design Goals, Required Capabilities).

    `use` is a shell script that does real work with the tool in the guest and exits 0 only on success. Without it, the
    version command counts as the real use, as for a program that takes tens of seconds to print its version.
    `tiers`: the tiers that must have it; default: all. `requirement`: the id of the requirement that it proves;
    default: tool-<name>. `version_accepted`, `version_rejected`: sample outputs of the version command that
    `version_pattern` must match and must not match. The self-tests use them to break each tool of the project's own
    spec.
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
        """Whether the output of the version command shows an accepted version."""
        return bool(re.search(self.version_pattern, printed, re.MULTILINE))
