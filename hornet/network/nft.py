"""nftables rule sets: one for the host, whatever the number of VMs, and one in each namespace."""

from __future__ import annotations

from hornet.errors import CommandError, NetworkError
from hornet.network.plan import VMPlan
from hornet.proc import run
from hornet.spec import Network

TABLE = "hornetos"
NFT_TIMEOUT_S = 20


def host_rules(network: Network, uplink: str | None) -> str:
    """The host's rules. Interfaces are matched by the pattern of their names, so a VM more adds no rule.

    VMs reach what lies behind `uplink`, translated to the host's address, and nothing else: not each other, not
    the host's own services (a ping is answered).
    """
    veths = network.host_veth_name.format(n="*").split("*")[0] + "*"
    nat = f'oifname "{uplink}" ip saddr {network.uplink_base} masquerade' if uplink else ""
    out = f'oifname "{uplink}" accept' if uplink else ""
    return f"""
table ip {TABLE}
delete table ip {TABLE}
table ip {TABLE} {{
    chain postrouting {{
        type nat hook postrouting priority srcnat
        {nat}
    }}
    chain forward {{
        type filter hook forward priority filter
        iifname != "{veths}" oifname != "{veths}" accept
        ct state established,related accept
        iifname "{veths}" oifname "{veths}" drop
        {out}
        iifname "{veths}" drop
        oifname "{veths}" drop
    }}
    chain input {{
        type filter hook input priority filter
        iifname != "{veths}" accept
        ct state established,related accept
        icmp type echo-request accept
        drop
    }}
}}
"""


def namespace_rules(plan: VMPlan) -> str:
    """The rules in a VM's namespace: all that leaves by the veth carries the namespace's own address."""
    return f"""
table ip {TABLE} {{
    chain postrouting {{
        type nat hook postrouting priority srcnat
        oifname "{plan.namespace_veth}" masquerade
    }}
}}
"""


def load_rules(rules: str) -> None:
    """Load a rule set, all or nothing, in the calling thread's namespace. Raises NetworkError."""
    try:
        run(["nft", "-f", "-"], timeout_s=NFT_TIMEOUT_S, input_text=rules)
    except CommandError as error:
        raise NetworkError(error.message, "install nftables and check that the kernel has nf_tables and NAT") from error
