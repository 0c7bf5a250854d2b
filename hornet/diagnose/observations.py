"""What can be seen of a VM from outside, as data: the input of the decision tree."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from hornet.network import VMPlan
from hornet.spec import Network

# From here on a root file system counts as full: what is left is soon gone. (The health check warns from 90 % on.)
FULL_PERCENT = 95


@dataclass(frozen=True)
class Place:
    """Which VM it is, and where everything of it should be.

    host_namespace: the namespace that plays the host; None is the machine's own network. uplink: the machine's
    interface to the Internet, None where there is none.
    """

    name: str
    network: Network
    plan: VMPlan
    namespace: str
    host_namespace: str | None = None
    uplink: str | None = None


@dataclass(frozen=True)
class Link:
    """An interface: addresses as in 10.0.0.1/24; master: the bridge that it belongs to."""

    up: bool
    addresses: tuple[str, ...] = ()
    master: str | None = None


@dataclass(frozen=True)
class Net:
    """What a network namespace holds. gateways: of its default routes; rules: `nft list ruleset`."""

    links: dict[str, Link] = field(default_factory=dict)
    gateways: tuple[str, ...] = ()
    forwarding: bool = True
    rules: str = ""


class Port(StrEnum):
    """What became of a connection to the guest's SSH port."""

    OPEN = "open"
    REFUSED = "refused"
    SILENT = "no answer"


@dataclass(frozen=True)
class Inside:
    """What the guest itself says.

    space_percent, inodes_percent: what is used, by mount point; biggest: what takes the space, if one of them is full.
    """

    space_percent: dict[str, int]
    inodes_percent: dict[str, int]
    biggest: str
    kernel_log: str


@dataclass(frozen=True)
class Observations:
    """Everything at one moment. None: it could not be looked at, because of what is broken before it.

    restored: the VM comes from a snapshot, so its console holds only what was printed since; login_error: why SSH
    refused, or "".
    """

    vmm_alive: bool
    vmm_log: str
    restored: bool
    console: str
    inner: Net | None
    host: Net | None
    replies: bool | None = None
    port: Port | None = None
    login_error: str | None = None
    inside: Inside | None = None
