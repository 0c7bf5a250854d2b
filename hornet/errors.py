"""Errors that a user can act on: the problem and the next step."""

from __future__ import annotations

from pathlib import Path

from hornet.text import printable

# A few sentences, at most with the last lines of a console or a log.
LIMIT_CHARACTERS = 20_000


class HornetError(Exception):
    """Base of every error that the suite reports to its user.

    `message` names the thing, the value found and the value expected. `hint` is the next step. Both may quote text from
    outside, so control characters are escaped here, for every place that shows an error. `timed_out`: a timeout of the
    suite expired. That is not a verdict, because a busy machine can cause it. `evidence`: the directory with the
    console and logs of the VM that failed, if that VM is gone. `phases_ms`: of a VM that did not start, the
    durations of its phases until then, in milliseconds; the last phase is the one that failed.
    """

    def __init__(self, message: str, hint: str = "", *, timed_out: bool = False) -> None:
        self.timed_out = timed_out
        self.evidence: Path | None = None
        self.phases_ms: dict[str, float] = {}
        self.message = printable(message, LIMIT_CHARACTERS)
        self.hint = printable(hint, LIMIT_CHARACTERS)
        super().__init__(self.message)

    def add_hint(self, text: str) -> None:
        """Add a further step to those that the error names."""
        self.hint = "; ".join(filter(None, (self.hint, printable(text, LIMIT_CHARACTERS))))

    def __str__(self) -> str:
        return f"{self.message}\n  next: {self.hint}" if self.hint else self.message


class SpecError(HornetError):
    """A wrong key or value in spec/*.toml or an overlay."""


class HostError(HornetError):
    """The host lacks something: root, a tool, a package, disk space, a lane."""


class CommandError(HornetError):
    """A command of the host failed, is missing, or timed out."""


class BuildError(HornetError):
    """A kernel or an image could not be built, or does not match the request."""


class NetworkError(HornetError):
    """A namespace, an interface, a route or a rule could not be created."""


class VMError(HornetError):
    """A virtual machine did not start, answer, stop or restore."""


class GuestError(HornetError):
    """A guest could not be reached, or a command in it could not be run."""


class SnapshotError(HornetError):
    """A snapshot bundle is incomplete, was made elsewhere, or its files do not belong together."""


class BrokenSnapshotError(SnapshotError):
    """A verdict on a snapshot: a file is missing or empty, or is not the one that was sealed with the others.

    Any other error means that the snapshot could not be judged.
    """


class ImageError(HornetError):
    """An image cannot be read or judged: its files, or the archive that holds them."""


class Ext4Error(ImageError):
    """A file is not an ext4 image, or cannot be judged."""


class SandboxError(HornetError):
    """A file from elsewhere exceeded the limits of the sandbox, so it cannot be judged."""
