"""The in-guest agent: it reports its observations from before a snapshot until after a restore (see agent.js)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as checked

SCRIPT = Path(__file__).with_name("agent.js")
ANSWER_PORT, CLIENT_PORT = 7001, 7002
DISK_FILE = "/root/agent.log"


@checked(frozen=True, config=ConfigDict(extra="forbid"))
class AgentSample:
    """The agent's observations and random values at one moment.

    count: how far it has counted; synced: how far on the disk for sure; connections: how many TCP connections it has
    had; lost: how the last one that broke ended (an errno's name). wall_s: since 1970. The other values are random, as
    hex digits or UUIDs.
    """

    token: str
    nonce: str
    pid: int
    count: int
    synced: int
    connections: int
    lost: str | None
    urandom: str
    random_bytes: str
    uuid: str
    web_uuid: str
    wall_s: float
    monotonic_s: float
    uptime_s: float


@dataclass(frozen=True)
class TimedSample:
    """A sample with the times at which the host asked for it and received it, in seconds since 1970."""

    seen: AgentSample
    asked_s: float
    got_s: float
