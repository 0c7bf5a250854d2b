"""Tables of the specification: what an image must not contain, and how a guest must behave."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, model_validator

from hornet.spec.types import (
    BootArguments,
    BytePattern,
    Command,
    ImagePath,
    Line,
    Pattern,
    Port,
    Script,
    Seconds,
    Symbol,
    Table,
    Token,
)

HexBytes = Annotated[str, Field(pattern=r"^([0-9a-f]{2})+$", max_length=200)]


class Removal(Table):
    """What an image must not contain (guide: Design Goals, What We Remove).

    paths: absolute globs; packages: globs of names in the package database; names: globs of file names anywhere;
    interpreters: globs of the program in a script's first line; magics: the first bytes of a file, in hex.
    """

    title: Line
    reason: Line
    paths: list[ImagePath]
    packages: list[Line] = []
    names: list[Line] = []
    interpreters: list[Line] = []
    magics: list[HexBytes] = []


class FileRule(Table):
    """A rule about files of an image. path: an absolute glob; present=False: no file may match it.

    For each file that matches: mode in octal, as in 0755; owner as uid:gid, as in 0:0; contains: a regular expression
    that must match somewhere in its text, with `^` and `$` at each line.
    """

    title: Line
    reason: Line
    path: ImagePath
    present: bool = True
    mode: Annotated[str, Field(pattern=r"^[0-7]{4}$")] | None = None
    owner: Annotated[str, Field(pattern=r"^[0-9]{1,10}:[0-9]{1,10}$")] | None = None
    contains: Pattern | None = None

    @model_validator(mode="after")
    def _consistent(self) -> FileRule:
        if not self.present and (self.mode or self.owner or self.contains):
            raise ValueError("present = false allows no mode, owner or contains: there is no file to compare")
        return self


class DanglingDependencies(Table):
    """Search paths for an image's commands and shared libraries."""

    command_paths: list[ImagePath]
    library_paths: list[ImagePath]


class Ignored(Table):
    """A known and accepted finding. `pattern` is searched in the text that is shown. The reason is for readers."""

    pattern: Pattern
    reason: Annotated[Line, Field(min_length=10)]


class SecretPattern(Table):
    """A kind of secret: a regular expression over a file's bytes. example: one that matches, in parts to be joined."""

    pattern: BytePattern
    example: list[Script]

    @property
    def secret(self) -> str:
        """The example as a whole."""
        return "".join(self.example)

    @model_validator(mode="after")
    def _finds_its_example(self) -> SecretPattern:
        if not re.search(self.pattern.encode(), self.secret.encode()):
            raise ValueError(f"pattern {self.pattern!r} does not match its example")
        return self


class Secrets(Table):
    """Secrets: where a guest gets them at run time, and how they are detected in an image.

    path contains {vm_id}; forbidden_paths: absolute globs; patterns: kinds of secrets by name; allowed_keys: lines that
    an authorized_keys file of an image may contain.
    """

    port: Port
    path: Annotated[str, Field(pattern=r"^/[A-Za-z0-9._/-]*\{vm_id\}[A-Za-z0-9._/-]*$", max_length=200)]
    command: ImagePath
    forbidden_paths: list[ImagePath]
    allowed_keys: list[Line]
    patterns: dict[Line, SecretPattern]
    ignored: list[Ignored]


class Health(Table):
    """The health check script (guide: Phase 4, Health Checks). daemons: process names of SSH servers; one must run."""

    script: ImagePath
    healthy: Line
    unhealthy: Line
    disk_limit_percent: Annotated[int, Field(ge=1, le=100)]
    daemons: Annotated[list[Command], Field(min_length=1)]

    @model_validator(mode="after")
    def _consistent(self) -> Health:
        if self.healthy == self.unhealthy:
            raise ValueError(f"healthy and unhealthy are both {self.healthy!r}: they must differ")
        return self


class ReadOnlyRoot(Table):
    """A read-only root (guide: Phase 4, Read-Only Rootfs). boot_args enable it; tmpfs: writable in memory only."""

    boot_args: BootArguments
    read_only: list[ImagePath]
    tmpfs: list[ImagePath]


class BadLine(Table):
    """A pattern of lines that report an error, searched in each line. example: a line that matches."""

    pattern: Pattern
    example: Line

    @model_validator(mode="after")
    def _finds_its_example(self) -> BadLine:
        if not re.search(self.pattern, self.example):
            raise ValueError(f"pattern {self.pattern!r} does not match its example {self.example!r}")
        return self


class Boot(Table):
    """Requirements on a boot. stall_s: each phase must be shorter; patterns are searched in each line of the console.

    timer_lost: a line in the kernel log of a guest whose timer stops forever after a restore.
    """

    phases_file: ImagePath
    phases: Annotated[list[Token], Field(min_length=1)]
    required_arguments: list[Annotated[str, Field(pattern=r"^[!-~]+$", max_length=200)]]
    stall_s: Seconds
    random_ready: Pattern
    userland_started: Pattern
    timer_lost: Pattern
    bad_lines: list[BadLine]
    ignored: list[Ignored]


class FeatureTest(Table):
    """A kernel feature that `symbols` enable, as a shell script that uses it and exits 0 if it works.

    HORNET_PROGRAMS is a directory with the programs of hornet/scenarios/guest_programs.
    """

    title: Line
    symbols: list[Symbol]
    use: Script
