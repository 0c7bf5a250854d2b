"""Other ways to make and remove the same networks, to measure ours against: the guide's commands, and `ip -batch`.

They run in the private host's namespace and in a mount namespace with a /run/netns of its own, so that what
`ip netns add` makes is nobody else's, and gone with the shell, whatever happens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hornet.host.proc import run
from hornet.network import HostNet, VMPlan
from hornet.network.netns import RUN_NETNS
from hornet.network.nft import TABLE
from hornet.spec.network import Network

TIMEOUT_S = 900
# An interface on the host whose other end is in the last namespace: it vanishes when the kernel has removed that one.
CANARY = "canary"


def guide_creation(network: Network, plans: Sequence[VMPlan]) -> str:
    """The guide's commands (Environment Setup, Network Architecture) for each VM: one process each."""
    bridge, tap, gateway = network.bridge_name, network.tap_name, network.gateway_address
    return "".join(
        f"""
ip netns add {p.namespace}
ip -n {p.namespace} link set lo up
ip -n {p.namespace} link add {bridge} type bridge
ip -n {p.namespace} addr add {gateway} dev {bridge}
ip -n {p.namespace} link set {bridge} up
ip -n {p.namespace} tuntap add {tap} mode tap
ip -n {p.namespace} link set {tap} master {bridge}
ip -n {p.namespace} link set {tap} up
ip link add {p.host_veth} type veth peer name {p.namespace_veth} netns {p.namespace}
ip addr add {p.host_address} dev {p.host_veth}
ip link set {p.host_veth} up
ip -n {p.namespace} addr add {p.namespace_address} dev {p.namespace_veth}
ip -n {p.namespace} link set {p.namespace_veth} up
ip -n {p.namespace} route add default via {p.host_address.ip}
ip route replace {p.subnet} via {p.namespace_address.ip} dev {p.host_veth}
ip netns exec {p.namespace} sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
ip netns exec {p.namespace} iptables -t nat -A POSTROUTING -o {p.namespace_veth} -j MASQUERADE
"""
        for p in plans
    )


def guide_removal(network: Network, plans: Sequence[VMPlan]) -> str:
    """The guide's `ip link del`, and the namespace."""
    return "".join(f"ip link del {p.host_veth}\nip netns del {p.namespace}\n" for p in plans)


def batch_creation(network: Network, plans: Sequence[VMPlan]) -> str:
    """As few processes as iproute2 allows: one `ip -batch` for the host, one in each namespace, one nft there."""
    bridge, tap = network.bridge_name, network.tap_name
    host = "".join(
        f"""netns add {p.namespace}
link add {p.host_veth} type veth peer name {p.namespace_veth} netns {p.namespace}
addr add {p.host_address} dev {p.host_veth}
link set {p.host_veth} up
route replace {p.subnet} via {p.namespace_address.ip} dev {p.host_veth} onlink
"""
        for p in plans
    )
    inside = "".join(
        f"""
ip -n {p.namespace} -batch - <<END
link set lo up
link add {bridge} type bridge
addr add {network.gateway_address} dev {bridge}
link set {bridge} up
tuntap add {tap} mode tap
link set {tap} master {bridge}
link set {tap} up
addr add {p.namespace_address} dev {p.namespace_veth}
link set {p.namespace_veth} up
route add default via {p.host_address.ip}
END
ip netns exec {p.namespace} sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward; exec nft -f -' <<END
table inet {TABLE} {{
    chain postrouting {{
        type nat hook postrouting priority srcnat
        oifname "{p.namespace_veth}" masquerade
    }}
}}
END
"""
        for p in plans
    )
    return f"ip -batch - <<END\n{host}END\n{inside}"


def batch_removal(network: Network, plans: Sequence[VMPlan]) -> str:
    """All deletions in one process."""
    lines = "".join(f"link del {p.host_veth}\nnetns del {p.namespace}\n" for p in plans)
    return f"ip -batch - <<END\n{lines}END\n"


Script = Callable[[Network, Sequence[VMPlan]], str]


def time_shell(host: HostNet, plans: Sequence[VMPlan], create: Script, remove: Script) -> tuple[float, float, float]:
    """Seconds for creation, for one `ip netns exec` into the last, and for removal, as the shell itself sees them.

    Raises CommandError if one of the commands fails.
    """
    last = plans[-1].namespace
    script = f"""set -e
mount -t tmpfs none {RUN_NETNS}
date +%s.%N
{create(host.network, plans)}
date +%s.%N
ip netns exec {last} true
date +%s.%N
ip link add {CANARY} type veth peer name {CANARY} netns {last}
date +%s.%N
{remove(host.network, plans)}
date +%s.%N
"""
    argv = ["unshare", "--mount", "sh"]
    output = host.run(lambda: run(argv, timeout_s=TIMEOUT_S, input_text=script)).output
    times = [float(line) for line in output.split()]
    return times[1] - times[0], times[2] - times[1], times[4] - times[3]
