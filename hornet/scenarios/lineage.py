"""A guest with an agent, clones of its snapshot, and a clone of a clone's snapshot: the facts for judging hazards.

All facts are collected once, in a few round trips. Each hazard can then be its own test without its own guest.
"""

from __future__ import annotations

import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

from hornet.checks.hazards import CloneFacts, LineageFacts, ParentFacts, hazard_probes
from hornet.host.workspace import Workspace
from hornet.scenarios.agent_client import AgentClient
from hornet.scenarios.page_server import page_server
from hornet.snapshot import Bundle, Manifest
from hornet.vm.agent import AgentSample
from hornet.vm.fleet import VM, Fleet
from hornet.vm.snapshotting import origin_of_child, take_snapshot

TIMEOUT_S = 60
ETH_P_ALL = 3
# Uses memory that a clone has not touched yet.
WORK = "git --version"
# Rest the snapshot long enough that a clock which lags by the rest is detected: see spec.hazards.max_clock_error_ms.
STOOD_STILL_LIMITS = 3
# How the guide uses secrets: fetch, read in a shell, remove (Phase 4, Runtime Secrets Injection).
USE_SECRET = """
{{ curl -fsS "{url}" || wget -q -O - "{url}"; }} >/tmp/secrets.env
. /tmp/secrets.env && test -n "$TOKEN" && rm /tmp/secrets.env
"""


@dataclass(frozen=True)
class Parent(ParentFacts):
    """A VM before its snapshot, and the bundle of the snapshot."""

    bundle: Bundle


@dataclass(frozen=True)
class Clone(CloneFacts):
    """A clone of the snapshot. It is paused, because its agent would keep the processor busy."""

    vm: VM


@dataclass(frozen=True)
class Grandchild:
    """A clone of a clone's snapshot. The snapshot was moved before the restore, and deleted before the clone ran.

    sealed: the snapshot's manifest. worked: the output of WORK.
    """

    vm: VM
    sealed: Manifest
    seen: AgentSample
    worked: str


@dataclass(frozen=True)
class Lineage:
    """Three generations. The first clone has its own memory, because it was snapshotted."""

    parent: Parent
    clones: list[Clone]
    grandchild: Grandchild

    @property
    def facts(self) -> LineageFacts:
        """The facts that hazards are judged on."""
        return LineageFacts(self.parent, self.clones, self.parent.bundle.files)


def snapshot_parent(fleet: Fleet, bundle: Bundle, workspace: Workspace) -> Parent:
    """Start an agent in a clone of `bundle`, snapshot the clone into `workspace`, and remove it.

    Raises GuestError, VMError, SnapshotError.
    """
    spec = fleet.spec
    nonce, canary = secrets.token_hex(8), f"canary-{secrets.token_hex(16)}"
    vm = fleet.restore(bundle, snapshottable=True)
    with AgentClient(vm, spec) as agent:
        agent.start_agent(nonce)
        with page_server(vm.namespace, str(spec.network.gateway_address.ip), f"TOKEN={canary}") as url:
            used = vm.guest.run(USE_SECRET.format(url=url), TIMEOUT_S)
        facts = vm.guest.ask(hazard_probes(spec.hazards), {"SECRET_USED": str(used.exit_code)}, TIMEOUT_S)
        host_key = vm.guest.host_key(TIMEOUT_S)
        before = agent.answer(agent.ask())
        child = take_snapshot(vm, workspace, spec, version="child", origin=origin_of_child(vm, spec))
        paused_s = time.time()
    fleet.remove(vm)
    return Parent(nonce, canary, before, paused_s, facts, host_key, child)


def restore_clone(fleet: Fleet, parent: Parent, *, snapshottable: bool) -> Clone:
    """Restore a clone of the parent's snapshot, once the snapshot is old enough. Raises as snapshot_parent() does."""
    spec = fleet.spec
    rested_s = parent.paused_s + STOOD_STILL_LIMITS * spec.hazards.max_clock_error_ms / 1000
    time.sleep(max(0.0, rested_s - time.time()))
    ready: list[tuple[AgentClient, socket.socket, str, float]] = []

    def before_resume(vm: VM) -> None:
        agent, card = AgentClient(vm, spec), _listen_on_card(vm, spec.network.tap_name)
        ready.append((agent, card, agent.ask(), time.time()))

    vm = fleet.restore(parent.bundle, snapshottable=snapshottable, before_resume=before_resume)
    agent, card, question, resumed_s = ready[0]
    with agent, card:
        first = agent.answer(question)
        reconnected_s = agent.accept(spec.hazards.reconnect_timeout_s)
        facts = vm.guest.ask(hazard_probes(spec.hazards), {}, TIMEOUT_S)
        host_key = vm.guest.host_key(TIMEOUT_S)
        later = agent.answer(agent.ask())
        frames = list(_sent_by_guest(card))
    vm.vmm.pause()
    console = vm.vmm.console.text
    return Clone(vm.name, first, later, resumed_s, frames, reconnected_s, facts, host_key, console, vm)


def restore_grandchild(fleet: Fleet, clone: Clone, workspace: Workspace) -> Grandchild:
    """Restore a clone from a snapshot of `clone`, which has its own memory. Raises as snapshot_parent() does."""
    spec, names = fleet.spec, fleet.spec.snapshot
    clone.vm.vmm.resume()
    taken = take_snapshot(clone.vm, workspace, spec, version="grandchild", origin=origin_of_child(clone.vm, spec))
    moved = Bundle(taken.directory.rename(workspace.root / "moved"), names)
    sealed = moved.manifest()
    vm = fleet.restore(moved, before_resume=lambda _: shutil.rmtree(moved.directory))
    with AgentClient(vm, spec) as agent:
        seen = agent.answer(agent.ask()).seen
    worked = vm.guest.check_output(WORK, TIMEOUT_S)
    vm.vmm.pause()
    return Grandchild(vm, sealed, seen, worked)


def _listen_on_card(vm: VM, tap: str) -> socket.socket:
    """A socket that receives every frame on the VM's tap from now on."""
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
