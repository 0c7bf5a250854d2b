"""Answers of a guest that every check accepts, and ways to break them, each with the checks that must then fail.

They are made up from the spec, not recorded: a real guest is broken in tests/guest/test_mutations.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from hypothesis import find, settings
from hypothesis.strategies import from_regex

from hornet.formats.kconfig import format_config
from hornet.formats.overlay_tree import CHANGES
from hornet.spec.model import Spec
from hornet.vm.probes import ProbeResult, ProbeResults

KERNEL_LOG = """Linux version 6.1.192 (hornetos@hornetos)
tsc: Fast TSC calibration failed
random: crng init done
PCI: Fatal: No config space access function found
nd_pmem namespace0.0: unable to guarantee persistence of writes
EXT4-fs (vda): mounted filesystem with ordered data mode. Quota mode: disabled.
Run /sbin/init as init process
"""


@dataclass(frozen=True)
class Mutation:
    """One way to break a guest, as the answers that it then gives, and which checks must fail."""

    name: str
    fails: frozenset[str]
    outputs: Mapping[str, str] = field(default_factory=dict)
    exit_codes: Mapping[str, int] = field(default_factory=dict)

    def applied_to(self, facts: ProbeResults) -> ProbeResults:
        """The facts with these answers replaced."""
        for name in {*self.outputs, *self.exit_codes}:
            old = facts[name]
            output, exit_code = self.outputs.get(name, old.output), self.exit_codes.get(name, old.exit_code)
            facts = facts.with_answer(ProbeResult(name, exit_code, output))
        return facts


def good_facts(spec: Spec) -> ProbeResults:
    """What a guest that is as the spec says would answer."""
    network = spec.network
    outputs = {
        "kernel.config": config_text(spec),
        "kernel.release": "6.1.192\n",
        "kernel.cmdline": f"console=ttyS0 {' '.join(spec.boot.required_arguments)} quiet\n",
        "boot.kernel_log": KERNEL_LOG,
        "boot.swap": "Filename\t\tType\t\tSize\t\tUsed\t\tPriority\n",
        "boot.services": "",
        "boot.phases": "".join(f"{phase} {1 + i}.25\n" for i, phase in enumerate(spec.boot.phases)),
        "boot.random": "64\n",
        "net.address": f"2: eth0    inet {network.guest_address} brd 10.0.0.255 scope global eth0\n",
        "net.link": f"{network.guest_mac}\n",
        "net.route": f"default via {network.gateway_address.ip} dev eth0\n",
        "net.dns": "".join(f"nameserver {address}\n" for address in network.dns),
        "net.hostname": f"{network.hostname}\n",
        "net.gateway": "1 packets transmitted, 1 packets received, 0% packet loss\n",
        "disk.walk": "",
        "usr.state": f"usr /usr overlay rw,lowerdir=/layers/base,upperdir={CHANGES},workdir=/layers/work 0 0\n",
        "disk.log": KERNEL_LOG,
    }
    outputs |= {f"feature.{name}": "" for name in spec.kernel.feature_tests}
    outputs |= {f"init.{name}": f"{_match(init.pattern)}\n" for name, init in spec.inits.items()}
    for name, tool in spec.tools.items():
        outputs[f"tool.{name}.where"] = "".join(f"/usr/bin/{command}\n" for command in tool.needs)
        outputs[f"tool.{name}.version"] = f"{_example(tool.version_accepted, name)}\n"
        if tool.use:
            outputs[f"tool.{name}.use"] = ""
    return ProbeResults(ProbeResult(name, 0, output) for name, output in outputs.items())


def _match(pattern: str) -> str:
    """The simplest text that a pattern matches as a whole."""
    return find(
        from_regex(pattern, fullmatch=True), lambda text: True, settings=settings(derandomize=True, database=None)
    )


def _example(text: str | None, name: str) -> str:
    assert text, f"[tools.{name}] of the spec needs version_accepted and version_rejected"
    return text


def config_text(spec: Spec, **changed: str) -> str:
    """A kernel configuration that has every flag right, but for those given."""
    values = dict.fromkeys(spec.kernel.required_symbols, "y") | dict.fromkeys(spec.kernel.removed_symbols, "n")
    return f"# Linux/x86 6.1.192 Kernel Configuration\n{format_config({**values, **changed})}"


def guest_mutations(spec: Spec) -> Iterator[Mutation]:
    """Every check over a guest's facts, broken in each way that it looks for."""
    yield from _kernel_mutations(spec)
    yield from _boot_mutations(spec)
    yield from _network_mutations()
    for name, feature_test in spec.kernel.feature_tests.items():
        yield _failing(f"does not work: {feature_test.title}", f"feature.{name}")
    for name in spec.inits:
        yield _printing(f"another init than {name}", {f"init.{name}": "another init"}, f"init.{name}")
        yield _failing(f"no {name}", f"init.{name}")
    for name, tool in spec.tools.items():
        where, version, use = (f"tool.{name}.{kind}" for kind in ("where", "version", "use"))
        for command in tool.needs:
            yield _printing(f"no {command} for {name}", {where: f"missing {command}\n"}, f"tool.{name}.presence")
        yield _printing(f"another version of {name}", {version: _example(tool.version_rejected, name)}, version)
        if tool.use:
            yield _failing(f"no version of {name}", version)
            yield _failing(f"{name} does not work", use)
        else:
            yield Mutation(f"{name} does not work", frozenset({version, use}), exit_codes={version: 1})


def _kernel_mutations(spec: Spec) -> Iterator[Mutation]:
    flags = "kernel.flags"
    for symbol in (spec.kernel.required_symbols[0], spec.kernel.required_symbols[-1]):
        for value in ("m", "n"):
            text = config_text(spec, **{symbol: value})
            yield _printing(f"{symbol}={value}", {"kernel.config": text}, flags)
    removed = spec.kernel.removed_symbols[0]
    yield _printing(f"{removed}=y", {"kernel.config": config_text(spec, **{removed: "y"})}, flags)
    yield _failing("no /proc/config.gz", "kernel.config", flags)
    yield _printing("an old kernel", {"kernel.release": "4.19.1\n", "kernel.config": _old(spec)}, "kernel.version")
    yield _printing("another kernel's configuration", {"kernel.release": "6.1.1\n"}, "kernel.version")
    yield _printing("no version", {"kernel.release": "\n"}, "kernel.version")


def _old(spec: Spec) -> str:
    return config_text(spec).replace("6.1.192", "4.19.1")


def _boot_mutations(spec: Spec) -> Iterator[Mutation]:
    for wanted in spec.boot.required_arguments:
        yield _printing(f"booted without {wanted}", {"kernel.cmdline": "console=ttyS0 quiet\n"}, "boot.argument")
    log = "boot.kernel_log"
    late = KERNEL_LOG.replace("random: crng init done\n", "") + "random: crng init done\n"
    yield _printing("entropy after userland", {log: late}, "boot.entropy")
    yield _printing("entropy never", {log: KERNEL_LOG.replace("random: crng init done\n", "")}, "boot.entropy")
    yield _printing("a read of random bytes stalls", {"boot.random": "0\n"}, "boot.entropy")
    for bad in spec.boot.bad_lines:
        yield _printing(f"kernel log: {bad.example}", {log: f"{KERNEL_LOG}{bad.example}\n"}, "boot.kernel_log")
    yield _printing("a dead service", {"boot.services": "/usr/sbin/sshd\n"}, "boot.service")
    yield _failing("services can't be listed", "boot.services", "boot.service")
    swap = "Filename Type Size Used Priority\n/dev/vdb partition 1 0 -2\n"
    yield _printing("swap", {"boot.swap": swap}, "boot.swap")
    yield _printing("a phase is missing", {"boot.phases": "userland 1.25\n"}, "boot.phase")
    at_limit = f"userland 1.25\nready {1.25 + spec.boot.stall_s}\n"
    yield _printing("a phase as long as the limit", {"boot.phases": at_limit}, "boot.phase")
    yield _printing("a stall", {"boot.phases": f"userland 1.25\nready {2 + spec.boot.stall_s}\n"}, "boot.phase")
    yield _printing("phases in the wrong order", {"boot.phases": "userland 2.25\nready 1.25\n"}, "boot.phase")


def _network_mutations() -> Iterator[Mutation]:
    for other in ("2: eth0    inet 10.0.0.3/24\n", "2: eth0 inet 10.0.0.2/24\n2: eth0 inet 10.9.9.9/24\n", ""):
        yield _printing(f"address {other!r}", {"net.address": other}, "network.address")
    yield _printing("another MAC", {"net.link": "02:00:00:00:00:09\n"}, "network.mac")
    for other in ("default via 10.0.0.9 dev eth0\n", "", "default via 10.0.0.1 dev eth0\ndefault via 10.0.0.9\n"):
        yield _printing(f"route {other!r}", {"net.route": other}, "network.route")
    for other in ("nameserver 1.1.1.1\nnameserver 8.8.8.8\n", "# nameserver 8.8.8.8\n"):
        yield _printing(f"DNS {other!r}", {"net.dns": other}, "network.dns")
    yield _printing("another host name", {"net.hostname": "localhost\n"}, "network.hostname")
    yield _failing("the gateway is dead", "net.gateway", "network.gateway")
    yield _failing("a file that can't be looked at", "disk.walk")
    yield _failing("a compressed /usr that can't be changed", "usr.state", "usr.guest")
    read_only = f"usr /usr overlay ro,relatime,lowerdir={CHANGES}:/layers/base 0 0\n"
    yield _printing("a compressed /usr without a layer of changes", {"usr.state": read_only}, "usr.guest")
    damage = "EXT4-fs error (device vda): ext4_lookup:1855: inode #2: comm ls: deleted inode referenced: 24593\n"
    yield _printing("a damaged disk", {"disk.log": damage}, "disk.log")


def _printing(name: str, outputs: Mapping[str, str], *fails: str) -> Mutation:
    return Mutation(name, frozenset(fails), outputs=outputs)


def _failing(name: str, probe: str, check: str = "") -> Mutation:
    """The probe's command ends with an error. The check has the probe's name unless another is given."""
    return Mutation(name, frozenset([check or probe]), {probe: "it failed\n"}, {probe: 1})
