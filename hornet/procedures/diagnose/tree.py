"""The decision tree: pure functions from observations to causes and fixes, from the VMM inwards to the guest's disk.

A step whose prerequisites failed is skipped and names no cause.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from hornet.formats.ext4.symptoms import log_symptoms
from hornet.network import verify
from hornet.procedures.diagnose.observations import FULL_PERCENT, Observations, Place, Port

EVIDENCE_LINES = 5
PANIC = re.compile(r"Kernel panic - not syncing: .*")
# Lines at which a boot without entropy stops: systemd's unit, and messages of the kernel and of sshd before it.
ENTROPY = re.compile(r"Load/Save Random Seed|uninitialized urandom read|waiting for (more )?entropy|PRNG is not seeded")
USERLAND = re.compile(r"^hornetos: userland ", re.MULTILINE)
RESTORE_AGAIN = "end this VM and restore it from its snapshot again"


class State(StrEnum):
    """The state of a step."""

    GOOD = "good"
    BAD = "bad"
    UNSEEN = "skipped"


@dataclass(frozen=True)
class Step:
    """One step of the tree: what was seen and, if that is bad, its cause and fix.

    command: a command on the host that repairs it; "" if there is none.
    """

    name: str
    state: State
    seen: str
    cause: str = ""
    fix: str = ""
    command: str = ""


def walk(place: Place, seen: Observations) -> list[Step]:
    """All steps, in order. Begin with the first bad one."""
    return [step(place, seen) for step in STEPS]


def vmm_step(place: Place, seen: Observations) -> Step:
    if seen.vmm_alive:
        return Step("VMM", State.GOOD, "its process runs")
    words = _last_lines(seen.vmm_log) or "it left no message"
    return _bad("VMM", f"its process has ended: {words}", "the VMM was killed or aborted", RESTORE_AGAIN)


def namespace_step(place: Place, seen: Observations) -> Step:
    if seen.inner is not None:
        return Step("namespace", State.GOOD, f"{place.plan.namespace} exists")
    return _bad(
        "namespace",
        f"there is no namespace {place.private}{place.plan.namespace}",
        "it was removed while the VM ran, so nothing reaches the VM any more",
        RESTORE_AGAIN,
    )


def bridge_step(place: Place, seen: Observations) -> Step:
    network = place.network
    if seen.inner is None:
        return _unseen("bridge")
    good = f"{network.bridge_name} is up with {network.gateway_address}"
    problems = verify.bridge_problems(network, place.plan, seen.inner)
    return _network_step(place, "bridge", good, problems, "the guest cannot reach its gateway")


def tap_step(place: Place, seen: Observations) -> Step:
    network = place.network
    if seen.inner is None:
        return _unseen("tap")
    good = f"{network.tap_name} is up and attached to {network.bridge_name}"
    problems = verify.tap_problems(network, place.plan, seen.inner)
    return _network_step(place, "tap", good, problems, "no packet passes between guest and bridge")


def uplink_step(place: Place, seen: Observations) -> Step:
    """The veth pair between the namespace and the host, and the routes over it."""
    plan = place.plan
    if seen.inner is None or seen.host is None:
        return _unseen("uplink")
    good = f"{plan.namespace_veth} and {plan.host_veth} are up, with their routes"
    problems = verify.veth_problems(place.network, plan, seen.inner) + verify.host_end_problems(
        place.network, plan, seen.host
    )
    return _network_step(place, "uplink", good, problems, "the guest cannot reach the host or the Internet")


def nat_step(place: Place, seen: Observations) -> Step:
    """Forwarding and address translation, in the namespace and on the host."""
    if seen.inner is None or seen.host is None:
        return _unseen("NAT")
    problems = verify.rule_problems(place.plan.namespace, seen.inner, place.inner_rules)
    problems += verify.host_problems(seen.host, place.host_rules)
    cause = "packets to the Internet or their answers are dropped, because forwarding or rules were changed"
    return _network_step(place, "NAT", "packets are forwarded and translated", problems, cause)


def egress_step(place: Place, seen: Observations) -> Step:
    """The way out of the host: its routes, and the firewalls of others."""
    if seen.egress is None:
        return _unseen("egress")
    if not seen.egress.examined:
        return Step("egress", State.GOOD, f"not examined: the private host has no {place.network.uplink_name}")
    if not seen.egress.problems:
        shown = "; ".join(["no route and no firewall of the host stops packets to the Internet", *seen.egress.remarks])
        return Step("egress", State.GOOD, shown)
    fix = "let guests through" if seen.egress.mends else "repair the host's default route, then `hornetos net up`"
    command = "; ".join(seen.egress.mends)
    return _bad("egress", "; ".join(seen.egress.problems), "the guest cannot reach the Internet", fix, command)


def console_step(place: Place, seen: Observations) -> Step:
    panic = PANIC.search(seen.console)
    if panic:
        return _bad(
            "console",
            panic[0],
            "the guest's kernel panicked",
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
            f"the boot stopped at: {_last_lines(seen.console, 1)}",
            "the kernel waits for entropy",
            "restore a snapshot instead of a cold boot, or add random.trust_cpu=on to the boot arguments",
        )
    if seen.restored:
        return Step("console", State.GOOD, _last_lines(seen.console) or "nothing printed since the restore")
    if not seen.console.strip():
        return _bad(
            "console",
            "the console is empty",
            "the kernel does not start, or prints elsewhere",
            "look at vmm.log; check that the kernel is an x86-64 vmlinux and that console=ttyS0 is a boot argument",
        )
    if not USERLAND.search(seen.console):
        return _bad(
            "console",
            f"the kernel ran, but init printed nothing: {_last_lines(seen.console)}",
            "the root file system has no init that starts",
            "check root= and init= of the boot arguments and /sbin/init in the image",
        )
    return Step("console", State.GOOD, _last_lines(seen.console))


def reply_step(place: Place, seen: Observations) -> Step:
    address = place.network.guest_address.ip
    replies = _replies(place, seen)
    if replies is None:
        return _unseen("guest")
    if replies and seen.ignores_pings:
        return Step("guest", State.GOOD, f"{address} ignores pings, but its SSH port answers")
    if replies:
        return Step("guest", State.GOOD, f"{address} answers a ping")
    return _bad(
        "guest",
        f"{address} does not answer, neither a ping nor at its SSH port",
        f"the guest hangs, is paused, or its {place.network.guest_interface} lacks the address",
        f"begin with the steps that failed above; otherwise check the image's network settings, or {RESTORE_AGAIN}",
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
        return Step("login", State.GOOD, "a command runs over SSH")
    return _bad(
        "login",
        seen.login_error,
        "the guest does not accept the key of this HORNET_HOME, or cannot start a shell",
        "use the HORNET_HOME in which the snapshot was taken, or give the key that the image accepts",
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
                    "remove unneeded files over SSH, then take a new snapshot",
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
    egress_step,
    console_step,
    reply_step,
    sshd_step,
    login_step,
    disk_step,
    ext4_step,
)


def _replies(place: Place, seen: Observations) -> bool | None:
    """Whether the guest answers; None if silence proves nothing, because no packet reaches it."""
    cut_off = State.BAD in (bridge_step(place, seen).state, tap_step(place, seen).state)
    return None if cut_off and not seen.replies else seen.replies


def _network_step(place: Place, name: str, good: str, problems: Sequence[str], cause: str) -> Step:
    """A step that `hornetos net up` can repair, also while VMs run."""
    if not problems:
        return Step(name, State.GOOD, good)
    private = f" --private {place.private}" if place.private else ""
    command = f"hornetos net up --first {place.plan.vm_id}{private}"
    return _bad(name, "; ".join(problems), cause, "repair the VM's network", command)


def _bad(name: str, seen: str, cause: str, fix: str, command: str = "") -> Step:
    return Step(name, State.BAD, seen, cause, fix, command)


def _unseen(name: str) -> Step:
    return Step(name, State.UNSEEN, "skipped: depends on a step that failed above")


def _last_lines(text: str, count: int = EVIDENCE_LINES) -> str:
    """The last lines that are not empty, on one line."""
    return " / ".join([line.strip() for line in text.splitlines() if line.strip()][-count:])
