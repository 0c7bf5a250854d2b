"""What can be seen of a VM from outside, as data: the input of the decision tree."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hornet.network import VMPlan
from hornet.network.egress import Egress
from hornet.network.state import NetFacts
from hornet.spec.network import Network

# From here on a root file system counts as full: what is left is soon gone. (The health check warns from 90 % on.)
FULL_PERCENT = 95


@dataclass(frozen=True)
class Place:
    """Which VM it is, and how its network must be.

    private: the prefix of the host that a test plays in a namespace, "" for the machine itself. inner_rules and
    host_rules: the rule sets that namespace and host must have, as nft lists them.
    """

    network: Network
    plan: VMPlan
    private: str
    inner_rules: str | None
    host_rules: str | None


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

    inner, host: the VM's namespace and the network that plays the host, None if there is no such namespace;
    egress: whether the VM's packets leave the host; restored: the VM comes from a snapshot, so its console holds only
    what was printed since; replies: to a ping or at its SSH port; login_error: why SSH refused, or "".
    """

    vmm_alive: bool
    vmm_log: str
    restored: bool
    console: str
    inner: NetFacts | None
    host: NetFacts | None
    egress: Egress | None = None
    replies: bool | None = None
    ignores_pings: bool = False
    port: Port | None = None
    login_error: str | None = None
    inside: Inside | None = None
