"""nftables rule sets: one for the host, independent of the number of VMs, and the same small one in each namespace.

nft's own library loads them in this process in 0.4 ms. Starting the `nft` command takes 5 ms: only a process with very
many VMs does that.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Sequence
from functools import cache
from types import TracebackType
from typing import Any

from hornet.errors import CommandError, NetworkError
from hornet.host.proc import run
from hornet.spec.network import Network

TABLE = "hornetos"
# The comment of the suite's tables. A table of this name without it belongs to somebody else.
MARK = "made by the HornetOS suite"
DELETE = f"table inet {TABLE}\ndelete table inet {TABLE}\n"
LIBRARY = "libnftables.so.1"
# nftables/libnftables.h: NFT_CTX_OUTPUT_HANDLE, NFT_CTX_OUTPUT_JSON.
HANDLES, JSON = 1 << 3, 1 << 4
# The library waits with select(2). A process with 250 VMs has more descriptors than that. Other threads open some
# meanwhile, hence the spare ones.
FD_SETSIZE, SPARE_DESCRIPTORS = 1024, 64
PROGRAM_TIMEOUT_S = 30
HINT = "install nftables and check that the kernel has nf_tables with NAT and fib"

# libnftables is not documented as thread-safe.
_lock = threading.Lock()


def host_rules(network: Network, uplinks: Sequence[str]) -> str:
    """The host's rules. They match interfaces of VMs by their group, so a further VM adds no rule.

    A VM reaches only the networks behind `uplinks`, translated to the host's address: no other VM, and no service of
    the host except network.host_tcp_ports and ping. Nothing outside can open a connection to a VM. Packets with a
    source address that does not belong to the interface are dropped (RFC 3704, strict).

    Connections of VMs announce segments that fit the uplink (RFC 879): if its MTU is smaller than theirs and ICMP is
    lost on the way, they would hang.
    """
    group = network.interface_group
    ports = ", ".join(map(str, network.host_tcp_ports))
    services = f"tcp dport {{ {ports} }} accept" if ports else ""
    leaving = f"iifgroup {group} oifname {_one_of(uplinks)}"
    nat = f"{leaving} masquerade" if uplinks else ""
    out = f"{leaving} accept" if uplinks else ""
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
        tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu
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


def _one_of(names: Sequence[str]) -> str:
    """Names of interfaces as nft writes them."""
    quoted = [f'"{name}"' for name in names]
    return quoted[0] if len(quoted) == 1 else f"{{ {', '.join(quoted)} }}"


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
    run_commands((DELETE if replace else "") + rules)


def listed_rules() -> str | None:
    """The suite's table as nft lists it in the calling thread's namespace, or None. Raises NetworkError.

    It may belong to somebody else: see is_ours().
    """
    if f"table inet {TABLE}\n" not in run_commands("list tables"):
        return None
    return run_commands(f"list table inet {TABLE}")


def is_ours(listed: str) -> bool:
    """Whether the suite created the listed table."""
    header, _, _ = listed.partition("\tchain ")
    return f'\tcomment "{MARK}"\n' in header


def delete_rules() -> None:
    """Delete the suite's rule set in the calling thread's namespace, if there is one, but not somebody else's."""
    listed = listed_rules()
    if listed is not None and is_ours(listed):
        run_commands(DELETE)


def run_commands(commands: str, output: int = 0) -> str:
    """What nft prints for commands in the calling thread's namespace. output: HANDLES or JSON. Raises NetworkError."""
    if _descriptors_are_high():
        return _run_program(commands, output)
    with Session() as session:
        return session.run(commands, output)


def _descriptors_are_high() -> bool:
    """Whether the library would get a descriptor that it can't use: it ends the process."""
    fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    os.close(fd)
    return fd >= FD_SETSIZE - SPARE_DESCRIPTORS


def _run_program(commands: str, output: int) -> str:
    """As run_commands(), by the program `nft`, which inherits the calling thread's namespace."""
    options = [option for flag, option in ((HANDLES, "-a"), (JSON, "-j")) if output & flag]
    try:
        # As an argument: with -j, nft takes a file for JSON.
        return run(["nft", *options, "--", commands], timeout_s=PROGRAM_TIMEOUT_S).output
    except CommandError as error:
        raise NetworkError(f"nftables: {error.message}", HINT) from error


class Session:
    """A connection to nftables in the calling thread's namespace; a context manager. Raises NetworkError.

    A table with `flags owner` exists as long as the session in which it was created.
    """

    def __init__(self) -> None:
        self._library = _library()
        with _lock:
            # A context works in the namespace in which it was created.
            self._context = self._library.nft_ctx_new(0)
            self._library.nft_ctx_buffer_output(self._context)
            self._library.nft_ctx_buffer_error(self._context)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        with _lock:
            self._library.nft_ctx_free(self._context)

    def run(self, commands: str, output: int = 0) -> str:
        """What nft prints for commands. output: HANDLES or JSON. Raises NetworkError."""
        with _lock:
            self._library.nft_ctx_output_set_flags(self._context, output)
            failed = self._library.nft_run_cmd_from_buffer(self._context, commands.encode())
            said = self._library.nft_ctx_get_error_buffer(self._context).decode()
            printed: str = self._library.nft_ctx_get_output_buffer(self._context).decode("utf-8", "replace")
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
        ("nft_ctx_output_set_flags", None, [pointer, ctypes.c_uint]),
        ("nft_run_cmd_from_buffer", ctypes.c_int, [pointer, text]),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
