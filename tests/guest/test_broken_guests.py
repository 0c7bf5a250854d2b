"""Real guests and their disks are broken on purpose: exactly the checks that should fail do, and say why.

Each way to fail a check is tried one by one, on made-up facts, in tests/selftest/test_checks_*.py. Here a real guest is
broken in many ways at once: what fails must be what was broken, nothing less and nothing more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from hornet.checks import read_only, runtime_secrets
from hornet.checks.catalog import guest_checks, hardened_checks, scratch_checks
from hornet.checks.health import health_probes
from hornet.checks.runtime_secrets import SecretTrial, injection_probes
from hornet.host.workspace import Workspace
from hornet.procedures.judge_image import REMNANT, judge_image
from hornet.scenarios.page_server import pages_server
from hornet.scenarios.probe_sets import FACTS_TIMEOUT_S, collect_facts, guest_probes, tools_probes
from hornet.snapshot import Bundle
from hornet.spec.model import Spec
from hornet.vm.fleet import VM, Fleet
from hornet.vm.probes import Probe, ProbeResults

pytestmark = pytest.mark.guest


@dataclass(frozen=True)
class Damage:
    """What is done to a guest, how it is put right, and which checks must then fail, each with a word of its reason."""

    break_script: str
    fails: dict[str, str]
    heal_script: str = ""


GUEST_DAMAGES = [
    Damage(
        "mv /usr/bin/git /usr/bin/git.away",
        {"tool.git.presence": "no 'git'", "tool.git.version": "failed"},
        "mv /usr/bin/git.away /usr/bin/git",
    ),
    Damage(
        "mv /usr/bin/node /usr/bin/node.away; echo 'echo v18.20.0' >/usr/bin/node; chmod 755 /usr/bin/node",
        {"tool.node.version": "v18.20.0"},
        "mv /usr/bin/node.away /usr/bin/node",
    ),
    Damage("ip addr add 10.9.9.9/24 dev eth0", {"network.address": "10.9.9.9"}, "ip addr del 10.9.9.9/24 dev eth0"),
    Damage(
        "ip route add default via 10.0.0.9 metric 5",
        {"network.route": "10.0.0.9"},
        "ip route del default via 10.0.0.9 metric 5",
    ),
    Damage(
        "mv /etc/resolv.conf /etc/resolv.away; echo nameserver 9.9.9.9 >/etc/resolv.conf",
        {"network.dns": "9.9.9.9"},
        "mv /etc/resolv.away /etc/resolv.conf",
    ),
    Damage("hostname other", {"network.hostname": "other"}, "hostname -F /etc/hostname"),
    Damage(
        "ip link set eth0 address 02:00:00:00:00:09",
        {"network.mac": "02:00:00:00:00:09"},
        "ip link set eth0 address 02:48:4f:00:00:02",
    ),
    Damage(
        "mount -o bind /etc/hostname /proc/cmdline",
        {"boot.argument": "random.trust_cpu=on is missing"},
        "umount /proc/cmdline",
    ),
    Damage(
        "zcat /proc/config.gz | sed s/^CONFIG_TUN=y/CONFIG_TUN=m/ | gzip >/tmp/c; mount -o bind /tmp/c /proc/config.gz",
        {"kernel.flags": "CONFIG_TUN: m, expected y: a module"},
        "umount /proc/config.gz",
    ),
    Damage(
        "mv /dev/random /dev/random.away; : >/dev/random",
        {"boot.entropy": "/dev/random"},
        "mv /dev/random.away /dev/random",
    ),
    Damage(
        "cp /run/hornetos/phases /tmp/phases; echo ready 4000 >>/run/hornetos/phases",
        {"boot.phase": "s until ready"},
        "cp /tmp/phases /run/hornetos/phases",
    ),
    Damage(
        "printf '#!/sbin/openrc-run\\nstart() { return 1; }\\n' >/etc/init.d/broken; chmod 755 /etc/init.d/broken; "
        "ln -s ../../init.d/broken /etc/runlevels/default && ! rc-service broken start",
        {"boot.service": "/etc/runlevels/default/broken"},
        "rm /etc/runlevels/default/broken /etc/init.d/broken",
    ),
]
KERNEL_DAMAGES = [
    *(
        Damage(
            f"echo 0 >/proc/sys/user/max_{name}_namespaces",
            {f"feature.{name}_namespace": symbol},
            f"echo 500 >/proc/sys/user/max_{name}_namespaces",
        )
        for name, symbol in (
            ("pid", "CONFIG_PID_NS"),
            ("user", "CONFIG_USER_NS"),
            ("ipc", "CONFIG_IPC_NS"),
            ("uts", "CONFIG_NAMESPACES"),
        )
    ),
    Damage(
        "echo 0 >/proc/sys/user/max_net_namespaces",
        {
            "feature.net_namespace": "CONFIG_NET_NS",
            "feature.bridge": "CONFIG_BRIDGE",
            "feature.nat": "CONFIG_IP_NF_NAT",
        },
        "echo 500 >/proc/sys/user/max_net_namespaces",
    ),
    Damage("rm /dev/net/tun", {"feature.tun": "CONFIG_TUN"}, "mknod /dev/net/tun c 10 200"),
    Damage(
        "cd /sys/bus/virtio/drivers/virtio_rng; echo virtio* >/tmp/rng; cat /tmp/rng >unbind",
        {"feature.virtio": "virtio_rng drives no device", "feature.hardware_random": "CONFIG_HW_RANDOM"},
        "cat /tmp/rng >/sys/bus/virtio/drivers/virtio_rng/bind",
    ),
    # What the kernel said can't be unsaid, so these stay broken.
    Damage(
        "echo 'EXT4-fs error (device vda): ext4_lookup: inode #2: deleted inode referenced: 24593' >/dev/kmsg",
        {"boot.kernel_log": "EXT4-fs error", "disk.log": "deleted inode"},
    ),
]
IMAGE_DAMAGES = [
    Damage("mkdir -p /usr/lib/python3.11", {"removal.python.path": "/usr/lib/python3.11"}),
    Damage("echo 'print(1)' >/opt/tool.py", {"removal.python.file_type": "/opt/tool.py"}),
    Damage("printf '#!/usr/bin/perl\\n' >/opt/tool", {"removal.perl.file_type": "/opt/tool"}),
    Damage("cp /bin/true /usr/bin/perl", {"removal.perl.path": "/usr/bin/perl"}),
    Damage(
        "mkdir -p /lib/apk/db; printf 'P:man-db\\nP:systemd\\n' >>/lib/apk/db/installed",
        {"removal.documentation.package": "man-db", "removal.systemd.package": "systemd"},
    ),
    Damage("mkdir -p /usr/share/man/man1", {"removal.documentation.path": "/usr/share/man/man1"}),
    Damage("printf '\\336\\022\\004\\225' >/opt/german", {"removal.locales.file_type": "/opt/german"}),
    Damage("echo x >/opt/libX11.so.6", {"removal.x11.file_type": "/opt/libX11.so.6"}),
    Damage(
        "printf '#!/usr/bin/gone\\n' >/usr/bin/orphan; chmod 755 /usr/bin/orphan",
        {"dangling.interpreter": "/usr/bin/orphan: script needs /usr/bin/gone"},
    ),
    Damage(
        "ssh-keygen -q -t ed25519 -N '' -f /opt/deploy",
        {"secret.content": "/opt/deploy: private key at byte 0"},
    ),
    Damage("mkdir -p /root/.ssh; cp /opt/deploy.pub /root/.ssh/authorized_keys", {"secret.key": "authorized_keys"}),
    Damage("echo ls >/root/.bash_history", {"secret.file": "/root/.bash_history"}),
    Damage("sed -i 's/^root:[^:]*/root:/' /etc/shadow", {"secret.password": "root has no password"}),
    Damage("rm /usr/lib/x86_64-linux-gnu/libz.so.1*", {"dangling.library": "libz.so.1"}),
]


@pytest.fixture
def victim(fleet: Fleet, bundle: Bundle) -> Iterator[VM]:
    """A clone for a test to break."""
    vm = fleet.restore(bundle)
    yield vm
    fleet.remove(vm)


def expected(damages: list[Damage]) -> dict[str, str]:
    return {name: reason for damage in damages for name, reason in damage.fails.items()}


def assert_exactly(found: dict[str, list[str]], wanted: dict[str, str]) -> None:
    """Exactly the wanted checks fail, each for its reason."""
    assert {name: found.get(name) for name in {*found} ^ {*wanted}} == {}
    assert {name: problems for name, problems in found.items() if wanted[name] not in "\n".join(problems)} == {}


def broken_facts(vm: VM, spec: Spec, probes: list[Probe], damages: list[Damage]) -> ProbeResults:
    """Break, ask and heal in one round trip: meanwhile the guest may be out of reach."""
    breaks = [Probe(f"break.{number}", damage.break_script) for number, damage in enumerate(damages)]
    heals = [Probe(f"heal.{number}", damage.heal_script) for number, damage in enumerate(damages)]
    facts = collect_facts(vm, spec, [*breaks, *probes, *heals])
    assert [facts[probe.name] for probe in (*breaks, *heals) if not facts[probe.name].ok] == []
    return facts


@pytest.mark.parametrize("damages", [GUEST_DAMAGES, KERNEL_DAMAGES], ids=["guest", "kernel"])
def test_broken_guest_fails_exactly_its_checks(damages: list[Damage], victim: VM, spec: Spec, tier_name: str) -> None:
    """Tools are not used for real work: that takes long, and depends on several checks."""
    tools = [name for name, tool in spec.tools_of(tier_name).items() if tool.use]
    about_tools = [probe for probe in tools_probes(spec, tier_name) if probe.name.split(".")[1] in tools]
    probes = [*guest_probes(spec, tier_name), *(probe for probe in about_tools if not probe.name.endswith(".use"))]
    wanted = {f"tool.{name}.{kind}" for name in tools for kind in ("presence", "version")}
    wanted |= {f"init.{spec.tier(tier_name).init}"}

    def asked(name: str) -> bool:
        return name in wanted or not name.startswith(("tool.", "init."))

    checks = {name: check for name, check in guest_checks(spec).items() if asked(name)}

    def failing(facts: ProbeResults) -> dict[str, list[str]]:
        return {name: problems for name, check in checks.items() if (problems := check(facts))}

    assert_exactly(failing(broken_facts(victim, spec, probes, damages)), expected(damages))
    healed = failing(collect_facts(victim, spec, probes))
    assert_exactly(healed, expected([damage for damage in damages if not damage.heal_script]))


def test_broken_image_fails_exactly_its_checks(victim: VM, spec: Spec, tier_name: str, workspace: Workspace) -> None:
    """The guest changes its own disk, as the guide demands; the disk is judged without the VM."""
    script = "\n".join(["set -e", *(damage.break_script for damage in IMAGE_DAMAGES), "sync"])
    assert victim.guest.run(script, FACTS_TIMEOUT_S).exit_code == 0
    victim.vmm.pause()
    problems = judge_image(victim.disk, spec, spec.tier(tier_name).exempt_from_removals, workspace.run)
    found = {name: problems[name] for name in problems if name != REMNANT and problems[name]}
    assert_exactly(found, expected(IMAGE_DAMAGES))


def test_writable_root_is_detected(victim: VM, spec: Spec) -> None:
    """The probes of a read-only root, in a guest with a writable root."""
    facts = victim.guest.ask(read_only.read_only_probes(spec.read_only_root), {}, FACTS_TIMEOUT_S)
    found = {name: problems for name, check in hardened_checks(spec).items() if (problems := check(facts))}
    assert_exactly(
        found, {"hardened.read_only": "/etc: a file could be created", "hardened.tmpfs": "/var: not a mount"}
    )


def test_constant_health_check_is_detected(victim: VM, spec: Spec) -> None:
    reason = "expected 'UNHEALTHY' and exit code 1"
    always_well = {"health.ssh": reason, "health.network": reason, "health.disk": reason}
    always_ill = {"health.well": "expected 'HEALTHY' and exit code 0"}
    for script, wanted in (("echo HEALTHY", always_well), ("echo UNHEALTHY; exit 1", always_ill)):
        forge = Probe("forge", f"printf '#!/bin/sh\\n%s\\n' '{script}' >{spec.health.script}")
        facts = victim.guest.ask([forge, *health_probes(spec.health, spec.network)], {}, FACTS_TIMEOUT_S)
        checks = {
            name: check
            for name, check in scratch_checks(spec, SecretTrial(1, "")).items()
            if name.startswith("health.")
        }
        found = {name: problems for name, check in checks.items() if (problems := check(facts))}
        assert_exactly(found, wanted)


# The guide's own way without its last step, careless with what it is given, and on the disk.
CARELESS = """#!/bin/sh
wget -q -O - http://10.0.0.1:8080/secrets/$1 | sed 's/^{"/export /; s/": /=/; s/}$//' >/root/secrets.env
. /root/secrets.env
shift
exec "$@"
"""


def test_neglected_secrets_are_detected(victim: VM, spec: Spec) -> None:
    trial = SecretTrial(victim.vm_id, "fedcba9876543210")
    probes = [
        Probe("forge", f"cat >{spec.secrets.command} <<'END'\n{CARELESS}END\n"),
        *injection_probes(spec.secrets, trial),
    ]
    with pages_server(
        victim.namespace, str(spec.network.gateway_address.ip), trial.pages(spec.secrets), spec.secrets.port
    ):
        facts = victim.guest.ask(probes, {}, FACTS_TIMEOUT_S)
    checks = {name: check for name, check in scratch_checks(spec, trial).items() if name.startswith("injection.")}
    found = {name: problems for name, check in checks.items() if (problems := check(facts))}
    wanted = {
        "injection.given": "did not get the served values",
        "injection.refused": "ran",
        "injection.left": "/root/secrets.env",
    }
    assert_exactly(found, wanted)
    assert "the secret is on the disk" in runtime_secrets.disk_problems(trial, victim.disk)[0]
