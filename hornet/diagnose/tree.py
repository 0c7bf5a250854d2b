"""The decision tree: pure functions from observations to causes and fixes, from the VMM inwards to the guest's disk.

A step whose prerequisites are broken says that it was not looked at; it blames nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from hornet.diagnose.observations import FULL_PERCENT, Link, Net, Observations, Place, Port
from hornet.ext4.symptoms import log_symptoms
from hornet.network.nft import TABLE

EVIDENCE_LINES = 5
PANIC = re.compile(r"Kernel panic - not syncing: .*")
# Where a boot without entropy stands still: systemd's unit, and what the kernel and sshd say before it.
ENTROPY = re.compile(r"Load/Save Random Seed|uninitialized urandom read|waiting for (more )?entropy|PRNG is not seeded")
USERLAND = re.compile(r"^hornetos: userland ", re.MULTILINE)
RESTORE_AGAIN = "end this VM and restore it from its snapshot again"


class State(StrEnum):
    """What a step found."""

    GOOD = "good"
    BAD = "bad"
    UNSEEN = "not looked at"


@dataclass(frozen=True)
class Step:
    """One question of the tree: what was seen and, if that is bad, what causes it and what to do.

    commands: shell commands for the host that put it right, in order; empty where no command can.
    """

    name: str
    state: State
    seen: str
    cause: str = ""
    fix: str = ""
    commands: tuple[str, ...] = ()


def walk(place: Place, seen: Observations) -> list[Step]:
    """Every step, in order. The first bad one is the place to begin with."""
    return [step(place, seen) for step in STEPS]


def vmm_step(place: Place, seen: Observations) -> Step:
    if seen.vmm_alive:
        return Step("VMM", State.GOOD, "its process runs")
    words = _last_lines(seen.vmm_log) or "it left no message"
    return _bad("VMM", f"its process has ended: {words}", "the VMM was killed, or gave up", RESTORE_AGAIN)


def namespace_step(place: Place, seen: Observations) -> Step:
    if seen.inner is not None:
        return Step("namespace", State.GOOD, f"{place.namespace} is there")
    return _bad(
        "namespace",
        f"there is no namespace {place.namespace}",
        "it was removed while the VM ran: nothing reaches the VM any more",
        RESTORE_AGAIN,
    )


def bridge_step(place: Place, seen: Observations) -> Step:
    name, address = place.network.bridge_name, str(place.network.gateway_address)
    if seen.inner is None:
        return _unseen("bridge")
    link = seen.inner.links.get(name)
    if link is None:
        return _bad("bridge", f"there is no bridge {name}", "the bridge was deleted", RESTORE_AGAIN)
    return _link_step(
        "bridge", name, link, address, _ip(place.namespace), f"the guest finds no gateway: it expects {address} there"
    )


def tap_step(place: Place, seen: Observations) -> Step:
    name, bridge = place.network.tap_name, place.network.bridge_name
    if seen.inner is None:
        return _unseen("tap")
    link = seen.inner.links.get(name)
    ip = _ip(place.namespace)
    if link is None:
        return _bad(
            "tap", f"there is no {name}", "the tap was deleted: the guest's network card leads nowhere", RESTORE_AGAIN
        )
    if link.master != bridge:
        found = f"belongs to {link.master}" if link.master else "belongs to no bridge"
        cause = "no packet goes between guest and bridge"
        return _bad(
            "tap", f"{name} {found}, expected {bridge}", cause, "attach it", f"{ip} link set {name} master {bridge}"
        )
    if not link.up:
        return _bad("tap", f"{name} is down", "no packet comes through", "set it up", f"{ip} link set {name} up")
    return Step("tap", State.GOOD, f"{name} is up and attached to {bridge}")


def uplink_step(place: Place, seen: Observations) -> Step:
    """The veth pair between the namespace and the host, and the route over it."""
    plan = place.plan
    if seen.inner is None or seen.host is None:
        return _unseen("uplink")
    for net, name, address, where in (
        (seen.inner, plan.namespace_veth, plan.namespace_address, place.namespace),
        (seen.host, plan.host_veth, plan.host_address, place.host_namespace),
    ):
        link = net.links.get(name)
        if link is None:
            return _bad(
                "uplink", f"there is no {name}", "the veth pair was deleted: the guest has no Internet", RESTORE_AGAIN
            )
        step = _link_step("uplink", name, link, str(address), _ip(where), "the guest has no way to the host and beyond")
        if step.state is State.BAD:
            return step
    gateway, ip = str(plan.host_address.ip), _ip(place.namespace)
    if seen.inner.gateways != (gateway,):
        return _bad(
            "uplink",
            f"default route to {', '.join(seen.inner.gateways) or 'nowhere'}, expected {gateway}",
            "packets to the Internet find no way out of the namespace",
            "set the route",
            f"{ip} route replace default via {gateway}",
        )
    return Step("uplink", State.GOOD, f"{plan.namespace_veth} and {plan.host_veth} are up, the default route is there")


def nat_step(place: Place, seen: Observations) -> Step:
    """Forwarding and address translation, in the namespace and on the host."""
    if seen.inner is None or seen.host is None:
        return _unseen("NAT")
    for net, where in ((seen.inner, place.namespace), (seen.host, place.host_namespace)):
        if not net.forwarding:
            return _bad(
                "NAT",
                f"ip_forward is 0 in {where or 'the host'}",
                "the kernel drops what is not for itself: the guest has no Internet",
                "turn it on",
                f"{_exec(where)}sysctl -q -w net.ipv4.ip_forward=1",
            )
    translations: list[tuple[Net, str, str | None]] = [(seen.inner, place.plan.namespace_veth, place.namespace)]
    if place.uplink:
        translations.append((seen.host, place.uplink, None))
    for net, interface, where in translations:
        if not _translates(net, interface):
            return _bad(
                "NAT",
                f"no masquerade rule for {interface} in {where or 'the host'}",
                "answers from the Internet can't find back: the rules were flushed",
                "load the rule again",
                *_masquerade(_exec(where), interface),
            )
    return Step("NAT", State.GOOD, "packets are forwarded and translated")


def console_step(place: Place, seen: Observations) -> Step:
    panic = PANIC.search(seen.console)
    if panic:
        return _bad(
            "console",
            panic[0],
            "the guest's kernel gave up",
            f"read the lines before it on the console; {RESTORE_AGAIN}",
        )
    replies = _replies(place, seen)
    if replies:
        return Step("console", State.GOOD, "no panic, and the guest answers")
    if replies is None:
        return _unseen("console")
    if ENTROPY.search(_last_lines(seen.console)):
        return _bad(
            "console",
            f"the boot stands still at: {_last_lines(seen.console, 1)}",
            "the kernel waits for entropy",
            "restore a snapshot instead of a cold boot, or add random.trust_cpu=on to the boot arguments",
        )
    if seen.restored:
        return Step("console", State.GOOD, _last_lines(seen.console) or "nothing printed since the restore")
    if not seen.console.strip():
        return _bad(
            "console",
            "the console stayed silent",
            "the kernel does not start, or prints elsewhere",
            "look at vmm.log; check that the kernel is an x86-64 vmlinux and that console=ttyS0 is a boot argument",
        )
    if not USERLAND.search(seen.console):
        return _bad(
            "console",
            f"the kernel ran, init said nothing: {_last_lines(seen.console)}",
            "the root file system has no init that starts",
            "check root= and init= of the boot arguments and /sbin/init in the image",
        )
    return Step("console", State.GOOD, _last_lines(seen.console))


def reply_step(place: Place, seen: Observations) -> Step:
    address = place.network.guest_address.ip
    replies = _replies(place, seen)
    if replies is None:
        return _unseen("guest")
    if replies:
        return Step("guest", State.GOOD, f"{address} answers a ping")
    return _bad(
        "guest",
        f"{address} does not answer a ping",
        f"the guest hangs, is paused, or its {place.network.guest_interface} lacks the address",
        f"begin with what is bad above; else check the image's network settings, or {RESTORE_AGAIN}",
    )


def sshd_step(place: Place, seen: Observations) -> Step:
    if not seen.replies or seen.port is None:
        return _unseen("sshd")
    if seen.port is Port.OPEN:
        return Step("sshd", State.GOOD, "port 22 accepts connections")
    said = [line for line in seen.console.splitlines() if "sshd" in line][-EVIDENCE_LINES:]
    shown = f"; the console says: {' / '.join(said)}" if said else ""
    if seen.port is Port.REFUSED:
        cause = "sshd does not run in the guest" + (": the console says why" if said else "")
        return _bad("sshd", f"port 22 refuses connections{shown}", cause, f"repair the image's sshd; {RESTORE_AGAIN}")
    return _bad("sshd", f"port 22 does not answer{shown}", "the guest is overloaded or filters the port", RESTORE_AGAIN)


def login_step(place: Place, seen: Observations) -> Step:
    if seen.login_error is None:
        return _unseen("login")
    if not seen.login_error:
        return Step("login", State.GOOD, "a command runs by SSH")
    return _bad(
        "login",
        seen.login_error,
        "the guest does not accept this home's key, or can't start a shell",
        "use the HORNET_HOME that the snapshot was made with, or give the key that the image accepts",
    )


def disk_step(place: Place, seen: Observations) -> Step:
    if seen.inside is None:
        return _unseen("disk space")
    for what, used in (("space", seen.inside.space_percent), ("inodes", seen.inside.inodes_percent)):
        for mount, percent in used.items():
            if percent >= FULL_PERCENT:
                return _bad(
                    "disk space",
                    f"{percent} % of the {what} of {mount} is used; biggest: {seen.inside.biggest or 'unknown'}",
                    "the file system is full: usually logs, or the cache of npm or apt",
                    "remove what is not needed, by SSH, then take a new snapshot",
                )
    shown = ", ".join(f"{percent} % of {mount}" for mount, percent in seen.inside.space_percent.items())
    return Step("disk space", State.GOOD, f"used: {shown}")


def ext4_step(place: Place, seen: Observations) -> Step:
    found = log_symptoms(seen.console + "\n" + (seen.inside.kernel_log if seen.inside else ""))
    if found:
        return _bad(
            "ext4",
            "; ".join(map(str, found)),
            "the root file system is damaged" + (": was its file changed after the snapshot?" if seen.restored else ""),
            found[0].rule.remedy,
        )
    if seen.inside is None:
        return _unseen("ext4")
    return Step("ext4", State.GOOD, "the kernel reports no damage")


STEPS: Sequence[Callable[[Place, Observations], Step]] = (
    vmm_step,
    namespace_step,
    bridge_step,
    tap_step,
    uplink_step,
    nat_step,
    console_step,
    reply_step,
    sshd_step,
    login_step,
    disk_step,
    ext4_step,
)


def _replies(place: Place, seen: Observations) -> bool | None:
    """Whether the guest answers; None where a silence says nothing about it, because no packet gets to it."""
    cut_off = State.BAD in (bridge_step(place, seen).state, tap_step(place, seen).state)
    return None if cut_off and not seen.replies else seen.replies


def _link_step(name: str, link_name: str, link: Link, address: str, ip: str, cause: str) -> Step:
    """An interface must be up and have its address. ip: the command for the namespace that it is in."""
    if address not in link.addresses:
        found = ", ".join(link.addresses) or "no address"
        fix = f"{ip} addr add {address} dev {link_name}"
        return _bad(name, f"{link_name} has {found}, expected {address}", cause, "give it the address", fix)
    if not link.up:
        return _bad(name, f"{link_name} is down", cause, "set it up", f"{ip} link set {link_name} up")
    return Step(name, State.GOOD, f"{link_name} is up with {address}")


def _bad(name: str, seen: str, cause: str, fix: str, *commands: str) -> Step:
    return Step(name, State.BAD, seen, cause, fix, commands)


def _unseen(name: str) -> Step:
    return Step(name, State.UNSEEN, "can't be looked at because of what is bad above")


def _translates(net: Net, interface: str) -> bool:
    rules = [line for line in net.rules.splitlines() if "masquerade" in line.lower()]
    return any(f'"{interface}"' in rule or "oifname" not in rule for rule in rules)


def _masquerade(run_in: str, interface: str) -> tuple[str, ...]:
    """Commands that make the rule, whether or not its table and chain are still there."""
    chain = "'{ type nat hook postrouting priority srcnat; }'"
    return (
        f"{run_in}nft add table ip {TABLE}",
        f"{run_in}nft add chain ip {TABLE} postrouting {chain}",
        f"{run_in}nft add rule ip {TABLE} postrouting oifname {interface} masquerade",
    )


def _ip(namespace: str | None) -> str:
    return f"ip -n {namespace}" if namespace else "ip"


def _exec(namespace: str | None) -> str:
    return f"ip netns exec {namespace} " if namespace else ""


def _last_lines(text: str, count: int = EVIDENCE_LINES) -> str:
    """The last lines that are not empty, on one line."""
    return " / ".join([line.strip() for line in text.splitlines() if line.strip()][-count:])
