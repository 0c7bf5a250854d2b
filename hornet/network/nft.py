"""nftables rule sets: one for the host, independent of the number of VMs, and the same small one in each namespace.

nft's own library loads them in this process in 0.4 ms. Starting the `nft` command takes 5 ms.
"""

from __future__ import annotations

import ctypes
import threading
from functools import cache
from typing import Any

from hornet.errors import NetworkError
from hornet.spec.network import Network

TABLE = "hornetos"
# The comment of the suite's tables. A table of this name without it belongs to somebody else.
MARK = "made by the HornetOS suite"
DELETE = f"table inet {TABLE}\ndelete table inet {TABLE}\n"
LIBRARY = "libnftables.so.1"
HINT = "install nftables and check that the kernel has nf_tables with NAT and fib"

# libnftables is not documented as thread-safe.
_lock = threading.Lock()


def host_rules(network: Network, uplink: str | None) -> str:
    """The host's rules. They match interfaces of VMs by their group, so a further VM adds no rule.

    A VM reaches only the networks behind `uplink`, translated to the host's address: no other VM, and no service of the
    host except network.host_tcp_ports and ping. Nothing outside can open a connection to a VM. Packets with a source
    address that does not belong to the interface are dropped (RFC 3704, strict).
    """
    group = network.interface_group
    ports = ", ".join(map(str, network.host_tcp_ports))
    services = f"tcp dport {{ {ports} }} accept" if ports else ""
    nat = f'iifgroup {group} oifname "{uplink}" masquerade' if uplink else ""
    out = f'iifgroup {group} oifname "{uplink}" accept' if uplink else ""
    return f"""
table inet {TABLE} {{
    comment "{MARK}"
    chain prerouting {{
        type filter hook prerouting priority raw
        iifgroup {group} meta nfproto ipv6 drop
        iifgroup {group} fib saddr . iif oif 0 drop
    }}
    chain input {{
        type filter hook input priority filter
        iifgroup != {group} accept
        ct state established,related accept
        icmp type echo-request accept
        {services}
        drop
    }}
    chain forward {{
        type filter hook forward priority filter
        iifgroup != {group} oifgroup != {group} accept
        ct state invalid drop
        ct state established,related accept
        {out}
        drop
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat
        {nat}
    }}
}}
"""


def namespace_rules(network: Network) -> str:
    """The rules in a VM's namespace, the same in all: outgoing packets get the namespace's own address.

    Only the guest's own address comes from the bridge, and no IPv6: the guide's topology has none. Nothing goes to the
    guest that it did not ask for. What conntrack does not know (state invalid) would leave untranslated: it is dropped.
    """
    bridge = network.bridge_name
    return f"""
table inet {TABLE} {{
    comment "{MARK}"
    chain prerouting {{
        type filter hook prerouting priority raw
        iifname "{bridge}" meta nfproto ipv6 drop
        iifname "{bridge}" ip saddr != {network.guest_address.ip} drop
    }}
    chain forward {{
        type filter hook forward priority filter
        ct state invalid drop
        ct state established,related accept
        iifname != "{bridge}" drop
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat
        oifname != {{ "lo", "{bridge}" }} masquerade
    }}
}}
"""


def load_rules(rules: str, *, replace: bool) -> None:
    """Load a rule set, all or nothing, in the calling thread's namespace.

    replace: whether an existing rule set is replaced. That takes 10 ms: the kernel waits until nobody uses the old one.
    Raises NetworkError, also for a table of this name that belongs to somebody else, which stays.
    """
    if replace and (listed := listed_rules()) is not None and not is_ours(listed):
        raise NetworkError(
            f"nftables: a table inet {TABLE} already exists and does not belong to the suite",
            f"rename it, or delete it if you do not need it: nft delete table inet {TABLE}",
        )
    _run((DELETE if replace else "") + rules)


def listed_rules() -> str | None:
    """The suite's table as nft lists it in the calling thread's namespace, or None. Raises NetworkError.

    It may belong to somebody else: see is_ours().
    """
    if f"table inet {TABLE}\n" not in _run("list tables"):
        return None
    return _run(f"list table inet {TABLE}")


def is_ours(listed: str) -> bool:
    """Whether the suite created the listed table."""
    header, _, _ = listed.partition("\tchain ")
    return f'\tcomment "{MARK}"\n' in header


def delete_rules() -> None:
    """Delete the suite's rule set in the calling thread's namespace, if there is one, but not somebody else's."""
    listed = listed_rules()
    if listed is not None and is_ours(listed):
        _run(DELETE)


def _run(commands: str) -> str:
    library = _library()
    with _lock:
        # A context works in the namespace in which it was created.
        context = library.nft_ctx_new(0)
        try:
            library.nft_ctx_buffer_output(context)
            library.nft_ctx_buffer_error(context)
            failed = library.nft_run_cmd_from_buffer(context, commands.encode())
            said = library.nft_ctx_get_error_buffer(context).decode()
            printed: str = library.nft_ctx_get_output_buffer(context).decode()
        finally:
            library.nft_ctx_free(context)
    if failed:
        raise NetworkError(f"nftables: {said.strip()}", HINT)
    return printed


@cache
def _library() -> Any:
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise NetworkError(f"{LIBRARY}: {error}", HINT) from error
    pointer, text = ctypes.c_void_p, ctypes.c_char_p
    for name, result, arguments in (
        ("nft_ctx_new", pointer, [ctypes.c_uint32]),
        ("nft_ctx_free", None, [pointer]),
        ("nft_ctx_buffer_output", ctypes.c_int, [pointer]),
        ("nft_ctx_buffer_error", ctypes.c_int, [pointer]),
        ("nft_ctx_get_output_buffer", text, [pointer]),
        ("nft_ctx_get_error_buffer", text, [pointer]),
        ("nft_run_cmd_from_buffer", ctypes.c_int, [pointer, text]),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
