"""Programs that the suite runs on the host: the Debian package of each, and its version."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hornet.errors import HornetError, HostError
from hornet.host.proc import run


@dataclass(frozen=True)
class HostTool:
    """A program on PATH.

    package: the Debian package that has it, or None. version_argument: makes it print its version; "" if nothing does.
    required: whether a build or every lane needs it.
    """

    name: str
    package: str | None
    version_argument: str = "--version"
    required: bool = True

    @property
    def source(self) -> str:
        """Where it comes from, as in a table."""
        return self.package or "no Debian package: take a release binary"

    @property
    def install_hint(self) -> str:
        """How to get it, as in a sentence."""
        return f"install {self.package}" if self.package else "take a release binary"

    @property
    def missing(self) -> bool:
        """Whether it is not on PATH."""
        return shutil.which(self.name) is None

    def version(self) -> str | None:
        """The version that it prints; None if it is missing, "?" if it prints none."""
        if self.missing:
            return None
        if not self.version_argument:
            return "?"
        try:
            output = run([self.name, self.version_argument], timeout_s=20).output
        except HornetError:
            return "?"
        found = re.search(r"\d+\.\d+(?:\.\d+)*", output)
        return found[0] if found else "?"


# Whatever the VMM; each driver names its own program (hornet/vmm/driver.py).
COMMON_TOOLS = (
    HostTool("bwrap", "bubblewrap"),
    HostTool("mmdebstrap", "mmdebstrap"),
    HostTool("mkfs.ext4", "e2fsprogs", "-V"),
    HostTool("e2fsck", "e2fsprogs", "-V"),
    HostTool("nft", "nftables"),
    HostTool("ip", "iproute2", "-V"),
    HostTool("ssh-keygen", "openssh-client", ""),
    HostTool("setpriv", "util-linux"),
    HostTool("gcc", "build-essential"),
    HostTool("make", "build-essential"),
    HostTool("ccache", "ccache"),
    # Makes the repository of an agent's step.
    HostTool("git", "git", required=False),
)


def all_tools(vmms: Mapping[str, HostTool]) -> list[HostTool]:
    """Every program that the suite uses. vmms: those of the VMMs, by the VMM's name."""
    return [*vmms.values(), *COMMON_TOOLS]


def require_tools(tools: Iterable[HostTool]) -> None:
    """Raises HostError naming every required tool that is missing, with its package."""
    missing = [f"{tool.name} (package {tool.package})" for tool in tools if tool.required and tool.missing]
    if missing:
        raise HostError(f"missing on PATH: {', '.join(missing)}", "sudo ./hornetos host installs what it can")
