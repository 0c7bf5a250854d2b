"""nftables rule sets: one for the host, whatever the number of VMs, and the same small one in each namespace.

They are loaded by nft's own library within the process: 0.4 ms, where starting the `nft` command takes 5.
"""

from __future__ import annotations

import ctypes
import threading
from functools import cache
from typing import Any

from hornet.errors import NetworkError
from hornet.spec.network import Network

TABLE = "hornetos"
# In our tables' comment: a table of this name without it is somebody else's.
MARK = "made by the HornetOS suite"
DELETE = f"table inet {TABLE}\ndelete table inet {TABLE}\n"
LIBRARY = "libnftables.so.1"
HINT = "install nftables and check that the kernel has nf_tables with NAT and fib"

# libnftables promises nothing about threads.
_lock = threading.Lock()


def host_rules(network: Network, uplink: str | None) -> str:
    """The host's rules. VMs' interfaces are known by their group, so a VM more adds no rule and no name.

    A VM reaches what lies behind `uplink`, translated to the host's address, and nothing else: not another VM, not the
    host's own services but those of network.host_tcp_ports (a ping is answered). Nothing reaches a VM unasked. A
    source address that does not belong to the interface is dropped (RFC 3704, strict).
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
    """The rules in a VM's namespace, the same in all: what leaves carries the namespace's own address.

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

    replace: whether there may be one already; it costs the kernel 10 ms to make sure that nobody uses it any more.
    Raises NetworkError, among others for a table of this name that is not ours: it stays.
    """
    if replace and (listed := listed_rules()) is not None and not is_ours(listed):
        raise NetworkError(
            f"nftables: there is a table inet {TABLE} already, and it is not ours",
            f"rename it, or if it is of no use: nft delete table inet {TABLE}",
        )
    _run((DELETE if replace else "") + rules)


def listed_rules() -> str | None:
    """The table of our name as nft lists it in the calling thread's namespace; None without one. Raises NetworkError.

    It may be somebody else's: see is_ours().
    """
    if f"table inet {TABLE}\n" not in _run("list tables"):
        return None
    return _run(f"list table inet {TABLE}")


def is_ours(listed: str) -> bool:
    """Whether a table, as listed, is one that this suite has made."""
    header, _, _ = listed.partition("\tchain ")
    return f'\tcomment "{MARK}"\n' in header


def delete_rules() -> None:
    """Delete our rule set in the calling thread's namespace, if there is one; somebody else's stays."""
    listed = listed_rules()
    if listed is not None and is_ours(listed):
        _run(DELETE)


def _run(commands: str) -> str:
    library = _library()
    with _lock:
        # A context speaks to the namespace in which it was made.
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
