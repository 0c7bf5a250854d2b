"""Reads the first line of a script, which names its interpreter (execve(2), Interpreter scripts)."""

from __future__ import annotations

from dataclasses import dataclass

ENV = "env"


@dataclass(frozen=True)
class Interpreter:
    """An interpreter. path: as in the first line. command: the name that `env` looks up in PATH, or None."""

    path: str
    command: str | None = None

    @property
    def program_name(self) -> str:
        """The interpreter's bare name, as in `python3`."""
        return (self.command or self.path).rpartition("/")[2]


def interpreter_of(head: bytes) -> Interpreter | None:
    """The interpreter named by a file's first bytes; None if it is not a script."""
    if not head.startswith(b"#!"):
        return None
    words = head[2:].split(b"\n", 1)[0].decode(errors="replace").split()
    if not words:
        return None
    if words[0].rpartition("/")[2] != ENV:
        return Interpreter(words[0])
    # Options of env and assignments come before the command.
    commands = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    return Interpreter(words[0], commands[0] if commands else None)
