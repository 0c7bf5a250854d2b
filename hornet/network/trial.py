"""Sends a packet from a VM's namespace and counts it where it leaves the host: what no ruleset tells is tried.

The packet's TTL ends at the first hop behind the host, so it gets no further. It is counted in a table of the
suite's own, at the last hook of forwarding, after every other rule. The kernel deletes that table with the process.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Address

from hornet.network import nft

TABLE = "hornetos-trial"
# Two hops: the host forwards the packet with the last one.
TTL = 2
TIMEOUT_S = 1.0
POLL_S = 0.01
PORTS = {"tcp": 443, "udp": 53}


def leaves_the_host(
    group: int, destination: IPv4Address, send: Callable[[Callable[[], None]], None]
) -> dict[str, bool]:
    """Whether a packet of each protocol of PORTS leaves, for the calling thread's namespace as the host.

    group: of the interfaces of VMs; send: runs a function in the namespace of a VM. Raises NetworkError.
    """
    ours = f"iifgroup {group} ip daddr {destination} ip ttl {TTL - 1}"
    rules = "".join(f'{ours} meta l4proto {protocol} counter comment "{protocol}"\n' for protocol in PORTS)
    chain = f"chain leaving {{ type filter hook postrouting priority 2147483647\n{rules}}}"
    with nft.Session() as session:
        session.run(f"table inet {TABLE} {{ flags owner\n{chain}\n}}")
        send(lambda: _send(destination))
        deadline_s = time.monotonic() + TIMEOUT_S
        while True:
            seen = _seen(json.loads(session.run(f"list table inet {TABLE}", nft.JSON)))
            if all(seen.values()) or time.monotonic() > deadline_s:
                return seen
            time.sleep(POLL_S)


def _send(destination: IPv4Address) -> None:
    """Send one packet of each protocol from the calling thread's namespace."""
    for kind, protocol in ((socket.SOCK_STREAM, "tcp"), (socket.SOCK_DGRAM, "udp")):
        with socket.socket(socket.AF_INET, kind) as sender:
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, TTL)
            sender.setblocking(False)
            with suppress(OSError):  # in progress, or refused by a firewall: the counter says what became of it
                sender.connect((str(destination), PORTS[protocol]))
            if kind == socket.SOCK_DGRAM:
                with suppress(OSError):
                    sender.send(b"hornetos")


def _seen(listed: dict[str, list[dict[str, dict[str, object]]]]) -> dict[str, bool]:
    rules = [it["rule"] for it in listed["nftables"] if "rule" in it]
    counters = {str(rule["comment"]): json.dumps(rule["expr"]) for rule in rules}
    return {protocol: '"packets": 0,' not in counters[protocol] for protocol in PORTS}
