"""Checks that have arguments of their own: one call that each accepts, and calls that it must reject."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from hornet.checks import (
    baked_secrets,
    balloon,
    boot,
    clones,
    compressed_usr,
    first_packets,
    guest_kernel,
    guest_network,
    hazards,
    host_readiness,
    read_only,
    runtime_secrets,
    sizes,
    snapshot_files,
)
from hornet.formats.content import Chunk
from hornet.formats.kconfig import FlagVerdict, KernelConfig, parse_config
from hornet.network import verify
from hornet.network.plan import AddressPlan
from hornet.network.state import Link, NetFacts, Route
from hornet.spec.model import Spec
from hornet.vm.agent import TimedSample
from hornet.vm.lanes import LaneState
from hornet.vm.memory import MemorySplit
from hornet.vm.probes import ProbeResult, ProbeResults
from tests.support.directory_tree import DirectoryTree
from tests.support.guest_samples import config_text
from tests.support.lineage_samples import BEFORE
from tests.support.procedure_samples import procedure_samples
from tests.support.samples import Sample, sample
from tests.support.scratch_samples import TRIAL


def call_samples(spec: Spec, directory: Path) -> list[Sample]:
    """A sample of every check with Subject.OTHER, and of hornet/network/verify.py. Files are made in the directory."""
    return [
        *_hazard_samples(directory),
        *_file_samples(spec, directory),
        *_fact_samples(spec),
        *_network_samples(spec),
        *procedure_samples(),
    ]


def _hazard_samples(directory: Path) -> list[Sample]:
    timed = partial(TimedSample, asked_s=1.0, got_s=2.0)
    after = replace(BEFORE, count=11, monotonic_s=50.5)
    later = replace(after, count=12, lost="ECONNRESET")
    clean, dirty = directory / "clean", directory / "dirty"
    clean.write_bytes(bytes(5000))
    dirty.write_bytes(bytes(5000) + b"canary")
    return [
        sample(hazards.distinct_problems, ("x", {"a": "1", "b": "2"}), {"the same": ("x", {"a": "1", "b": "1"})}),
        sample(
            hazards.clock_problems,
            ("vm", BEFORE, 1000.0, 1000.0, 1.0),
            {"behind": ("vm", BEFORE, 2000.0, 2000.0, 1.0), "ahead": ("vm", BEFORE, 0.0, 0.0, 1.0)},
        ),
        sample(
            hazards.monotonic_problems,
            ("vm", timed(BEFORE), timed(after), 0.0, 1.0),
            {"went back": ("vm", timed(after), timed(BEFORE), 0.0, 1.0)},
        ),
        sample(
            hazards.continuity_problems,
            ("vm", BEFORE, after, later),
            {"memory lost": ("vm", BEFORE, replace(after, nonce="other"), later)},
        ),
        sample(
            hazards.connection_problems,
            ("vm", later, 0.4, 10.0),
            {"still hangs": ("vm", later, None, 10.0), "without an error": ("vm", after, 0.4, 10.0)},
        ),
        sample(
            hazards.counting_problems,
            ("disk", "1\n2\n", r"^(\d+)$", 2),
            {"3 follows 1": ("disk", "1\n3\n", r"^(\d+)$", 2), "counts to 1": ("disk", "1\n", r"^(\d+)$", 2)},
        ),
        sample(hazards.secret_problems, ([clean], "canary"), {"still there": ([clean, dirty], "canary")}),
    ]


def _file_samples(spec: Spec, directory: Path) -> list[Sample]:
    disks = [directory / name for name in ("snapshot.ext4", "one.ext4", "two.ext4")]
    for disk in disks:
        disk.write_bytes(bytes(100))
    snapshot, one, two = disks
    secret_disk = directory / "secret.ext4"
    secret_disk.write_bytes(bytes(100) + TRIAL.nonce.encode())
    root = directory / "root"
    root.mkdir()
    tree = DirectoryTree(root)
    key = spec.secrets.patterns["GitHub token"].secret.encode()
    parts = partial(snapshot_files.part_problems, spec.snapshot, memory_mib=256)
    tier = spec.tier("standard")
    return [
        sample(
            clones.disk_problems,
            ({"a": one, "b": two}, snapshot),
            {"also the disk of": ({"a": one, "b": one}, snapshot)},
        ),
        sample(
            clones.sharing_problems,
            ("vm", MemorySplit(1, 1, 1, 1)),
            {"shares no memory pages": ("vm", MemorySplit(1, 0, 1, 1))},
        ),
        sample(runtime_secrets.disk_problems, (TRIAL, one), {"on the disk": (TRIAL, secret_disk)}),
        sample(read_only.disk_problems, ("a" * 64, "a" * 64), {"changed": ("a" * 64, "b" * 64)}),
        sample(
            baked_secrets.remnant_problems,
            (spec.secrets, {"the image": [Chunk(0, bytes(100), 100)]}, tree),
            {"of the image": (spec.secrets, {"the image": [Chunk(0, key, len(key))]}, tree)},
        ),
        Sample(
            snapshot_files.part_problems,
            partial(parts, memory_bytes=256 << 20, state_bytes=70_000),
            {
                "256 MiB of guest memory": partial(parts, memory_bytes=1, state_bytes=70_000),
                "must contain guest memory": partial(parts, memory_bytes=256 << 20, state_bytes=256 << 20),
            },
        ),
        sample(sizes.rootfs_size_problems, (tier, 1.0, {}), {"too large": (tier, 1e6, {})}),
        sample(sizes.kernel_size_problems, (8.0, 1.0), {"at most": (8.0, 9.0)}),
    ]


def _fact_samples(spec: Spec) -> list[Sample]:
    config, wrong = (parse_config(text) for text in (config_text(spec), config_text(spec, VIRTIO="m")))
    built = KernelConfig(dict.fromkeys(spec.kernel.extra_symbols, "y"))
    flag = partial(FlagVerdict, "VIRTIO", "y")
    answers = {code: ProbeResults([ProbeResult("net.egress", 0, code)]) for code in ("200", "000")}
    taken = partial(balloon.Balloon, 64, 250)
    lanes = [LaneState("qemu/tcg", True, "works")]
    host = {"root": True, "cap_net_admin": True, "tun": True, "tools": {"nft": "1"}, "packages": {"nft": "nftables"}}
    host |= {"architecture": "x86_64", "forwarding": "works", "home": "/opt/swarm"}
    return [
        sample(boot.line_problems, (spec.boot, "all is well"), {"matches": (spec.boot, "Kernel panic - not syncing")}),
        sample(
            guest_kernel.config_problems,
            (spec.kernel, config, "6.1.192", spec.machine.boot_args),
            {"CONFIG_VIRTIO: m": (spec.kernel, wrong, "6.1.192", spec.machine.boot_args)},
        ),
        sample(
            compressed_usr.kernel_problems,
            (built,),
            {f"CONFIG_{symbol}: m": (KernelConfig(built | {symbol: "m"}),) for symbol in compressed_usr.KERNEL_SYMBOLS},
        ),
        sample(guest_kernel.flag_problems, ([flag("y", True, "")],), {"expected y": ([flag("m", False, "a module")],)}),
        sample(
            guest_network.egress_problems, (spec.network, answers["200"]), {"reached": (spec.network, answers["000"])}
        ),
        sample(
            balloon.balloon_problems,
            (taken(185, 248),),
            {"64 MiB balloon": (taken(250, 250),), "returned": (taken(185, 185),)},
        ),
        sample(
            first_packets.first_packet_problems,
            ("vm", spec.network, [_arp(spec)]),
            {"sent nothing": ("vm", spec.network, []), "sent from": ("vm", spec.network, [bytes(60)])},
        ),
        sample(
            host_readiness.host_problems,
            (host, lanes, ["nft"]),
            {
                "nftables": ({**host, "tools": {"nft": None}}, lanes, ["nft"]),
                "root": ({**host, "root": False}, lanes, ["nft"]),
                "no lane works": (host, [LaneState("qemu/tcg", False, "no")], ["nft"]),
            },
        ),
    ]


def _arp(spec: Spec) -> bytes:
    mac = bytes.fromhex(spec.network.guest_mac.replace(":", ""))
    return b"\xff" * 6 + mac + b"\x08\x06" + bytes(8) + mac + spec.network.guest_address.ip.packed + bytes(10)


def _network_samples(spec: Spec) -> list[Sample]:
    """The topology of VM 1 as it must be, then with one thing wrong at a time."""
    net, plan = spec.network, AddressPlan(spec.network).for_vm(1)

    def link(name: str, kind: str, mac: str, *addresses: Any, master: str | None = None, group: int = 0) -> Link:
        return Link(name, 1, kind, mac, 1500, True, group, master, addresses)

    def route(destination: str, gateway: Any, interface: str) -> Route:
        return Route(IPv4Network(destination), gateway, interface, True)

    bridge = link(net.bridge_name, "bridge", net.gateway_mac, net.gateway_address)
    tap = link(net.tap_name, "tun", "02:00:00:00:00:01", master=net.bridge_name)
    veth = link(plan.namespace_veth, "veth", net.namespace_veth_mac, plan.namespace_address)
    host_veth = link(plan.host_veth, "veth", net.host_veth_mac, plan.host_address, group=net.interface_group)
    inside = NetFacts(
        {it.name: it for it in (bridge, tap, veth)},
        (route("0.0.0.0/0", plan.host_address.ip, plan.namespace_veth),),
        True,
        "rules",
        {plan.host_address.ip: net.host_veth_mac},
    )
    outside = NetFacts(
        {host_veth.name: host_veth},
        (route(str(plan.subnet), plan.namespace_address.ip, plan.host_veth),),
        True,
        "rules",
        {plan.namespace_address.ip: net.namespace_veth_mac},
    )

    def changed(facts: NetFacts, changed_link: Link, **changes: Any) -> NetFacts:
        return replace(facts, links={**facts.links, changed_link.name: replace(changed_link, **changes)})

    of_vm = (net, plan)
    return [
        sample(
            verify.namespace_problems,
            (*of_vm, inside, "rules"),
            {
                "differ in MTU": (*of_vm, changed(inside, tap, mtu=1400), "rules"),
                "rule set": (*of_vm, inside, "others"),
            },
        ),
        sample(
            verify.bridge_problems,
            (*of_vm, inside),
            {
                "has the addresses none": (*of_vm, changed(inside, bridge, addresses=())),
                "MAC": (*of_vm, changed(inside, bridge, mac="02:00:00:00:00:09")),
                "is down": (*of_vm, changed(inside, bridge, up=False)),
            },
        ),
        sample(
            verify.tap_problems,
            (*of_vm, inside),
            {
                "attached to nothing": (*of_vm, changed(inside, tap, master=None)),
                "expected a tun": (*of_vm, changed(inside, tap, kind="dummy")),
            },
        ),
        sample(
            verify.veth_problems,
            (*of_vm, inside),
            {
                "routes to 0.0.0.0/0: none": (*of_vm, replace(inside, routes=())),
                "the neighbour": (*of_vm, replace(inside, neighbours={})),
                "it is routed": (*of_vm, changed(inside, veth, master=net.bridge_name)),
            },
        ),
        sample(
            verify.host_end_problems,
            (*of_vm, outside),
            {
                "is in group 0": (*of_vm, changed(outside, host_veth, group=0)),
                "no interface": (*of_vm, replace(outside, links={})),
                "routes to 10.0.1.0/24: none": (*of_vm, replace(outside, routes=())),
            },
        ),
        sample(verify.host_problems, (outside, "rules"), {"no rule set": (replace(outside, rules=None), "rules")}),
        sample(
            verify.rule_problems,
            ("host", outside, "rules"),
            {
                "ip_forward": ("host", replace(outside, forwarding=False), "rules"),
                "missing: more": ("host", outside, "rules\nmore"),
            },
        ),
    ]
