"""A guest full of witnesses, a snapshot of it, and several clones of that: everything that the hazards are judged by.

All is asked for once, in a few round trips, so that each hazard can be a test of its own without a guest of its own.
"""

from __future__ import annotations

import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from hornet.checks.hazards import hazard_probes
from hornet.facts import Facts
from hornet.fleet import VM, Fleet
from hornet.home import Home
from hornet.peer import Peer
from hornet.snapshot import Bundle
from hornet.snapshot.take import origin_of_child, take_snapshot
from hornet.testserver import page_server
from hornet.witness import Answer

TIMEOUT_S = 60
ETH_P_ALL = 3
# A clock that is late by the time that the snapshot stood still must show: see spec.hazards.max_clock_error_ms.
STOOD_STILL_LIMITS = 3
# The guide's way with secrets: fetched, read by a shell, removed (Phase 4, Runtime Secrets Injection).
USE_SECRET = """
{{ curl -fsS "{url}" || wget -q -O - "{url}"; }} >/tmp/secrets.env
. /tmp/secrets.env && test -n "$TOKEN" && rm /tmp/secrets.env
"""


@dataclass(frozen=True)
class Member:
    """What is known of one VM.

    first: asked for before it ran, answered as soon as it did; later: some time after. resumed_s: when it was let run,
    since 1970. frames: what its network card sent first. reconnected_s: how long its witness took for a new
    connection, None if it never had one.
    """

    name: str
    first: Answer
    later: Answer
    resumed_s: float
    frames: list[bytes]
    reconnected_s: float | None
    facts: Facts
    host_key: str
    console: str


@dataclass(frozen=True)
class Family:
    """The parent before its snapshot, and its clones. canary: a secret that the parent had, and removed.

    before: the parent's witness; paused_s: when the parent stood still for sure, since 1970.
    """

    bundle: Bundle
    nonce: str
    canary: str
    before: Answer
    paused_s: float
    parent_facts: Facts
    parent_host_key: str
    clones: list[Member]
    vms: list[VM]


def raise_family(fleet: Fleet, bundle: Bundle, home: Home) -> Family:
    """A clone of `bundle` is the parent; its snapshot goes to `home`. The clones are paused, and of the fleet.

    The last of them outlives its snapshot: a copy of the child, removed before this clone ran.

    Raises GuestError, VMError, SnapshotError.
    """
    spec = fleet.spec
    nonce, canary = secrets.token_hex(8), f"canary-{secrets.token_hex(16)}"
    parent = fleet.restore(bundle, own_memory=True)
    with Peer(parent, spec) as peer:
        peer.start_witness(nonce)
        with page_server(parent.namespace, str(spec.network.gateway_address.ip), f"TOKEN={canary}") as url:
            used = parent.guest.run(USE_SECRET.format(url=url), TIMEOUT_S)
        facts = parent.guest.ask(hazard_probes(spec.hazards), {"SECRET_USED": str(used.exit_code)}, TIMEOUT_S)
        host_key = parent.guest.host_key(TIMEOUT_S)
        before = peer.answer(peer.ask())
        child = take_snapshot(parent, home, spec, version="family", origin=origin_of_child(parent, spec))
        paused_s = time.time()
    fleet.remove(parent)
    time.sleep(max(0.0, paused_s + STOOD_STILL_LIMITS * spec.hazards.max_clock_error_ms / 1000 - time.time()))
    elsewhere = home.root / "copy"
    elsewhere.mkdir()
    parents = [child] * (spec.hazards.clones - 1) + [child.copied_to(elsewhere)]
    with ThreadPoolExecutor(len(parents)) as pool:
        clones = list(pool.map(lambda bundle: _clone(fleet, bundle, is_copy=bundle is not child), parents))
    for _, vm in clones:
        vm.micro.pause()  # their witnesses would be busy all the time
    members, vms = [member for member, _ in clones], [vm for _, vm in clones]
    return Family(child, nonce, canary, before, paused_s, facts, host_key, members, vms)


def _clone(fleet: Fleet, bundle: Bundle, *, is_copy: bool) -> tuple[Member, VM]:
    spec = fleet.spec
    ready: list[tuple[Peer, socket.socket, str, float]] = []

    def before_resume(vm: VM) -> None:
        peer, card = Peer(vm, spec), _listen_on_card(vm, spec.network.tap_name)
        if is_copy:
            shutil.rmtree(bundle.directory)
        ready.append((peer, card, peer.ask(), time.time()))

    vm = fleet.restore(bundle, before_resume=before_resume)
    peer, card, question, resumed_s = ready[0]
    with peer, card:
        first = peer.answer(question)
        reconnected_s = peer.accept(spec.hazards.reconnect_timeout_s)
        facts = vm.guest.ask(hazard_probes(spec.hazards), {}, TIMEOUT_S)
        host_key = vm.guest.host_key(TIMEOUT_S)
        later = peer.answer(peer.ask())
        frames = list(_sent_by_guest(card))
    console = vm.micro.console.text
    return Member(vm.name, first, later, resumed_s, frames, reconnected_s, facts, host_key, console), vm


def _listen_on_card(vm: VM, tap: str) -> socket.socket:
    """A socket that sees every frame on the VM's tap from now on."""
    made = vm.namespace.run(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)))
    made.bind((tap, 0))
    made.setblocking(False)
    return made


def _sent_by_guest(card: socket.socket) -> Iterator[bytes]:
    while True:
        try:
            frame, (_, _, kind, _, _) = card.recvfrom(65536)
        except BlockingIOError:
            return
        if kind != socket.PACKET_OUTGOING:
            yield frame
