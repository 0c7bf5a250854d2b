"""A guest that speaks SSH wrongly, as a broken or a hostile one does: one kind of error, which names the VM."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

import paramiko
import pytest

from hornet.errors import GuestError
from hornet.vm.guest import CHEAP_KEY_EXCHANGE, Guest, HandshakeTransport
from tests.support.ssh_samples import guest_of, ssh_server

LIMIT_S = 5.0
BANNER = b"SSH-2.0-OpenSSH_9.2\r\n"
KEXINIT, KEX_ECDH_REPLY, NAME_LISTS = 20, 31, 10


def packet(payload: bytes) -> bytes:
    """An unencrypted packet of RFC 4253, 6."""
    padding = 4 + -(len(payload) + 9) % 8
    return struct.pack(">IB", len(payload) + padding + 1, padding) + payload + bytes(padding)


def name_list(names: bytes) -> bytes:
    return struct.pack(">I", len(names)) + names


def key_exchange(*lists: bytes) -> bytes:
    """The offer of a key exchange: ten lists of names (RFC 4253, 7.1), the last of them empty."""
    left_out = [b""] * (NAME_LISTS - len(lists))
    return packet(bytes([KEXINIT]) + bytes(16) + b"".join(map(name_list, [*lists, *left_out])) + bytes(5))


CIPHER, MAC, COMPRESSION = b"aes128-ctr", b"hmac-sha2-256", b"none"
GOOD_OFFER = key_exchange(
    b"curve25519-sha256@libssh.org", b"ssh-ed25519", CIPHER, CIPHER, MAC, MAC, COMPRESSION, COMPRESSION
)
SHORT_KEY = packet(bytes([KEX_ECDH_REPLY]) + name_list(b"host key") + name_list(b"short") + name_list(b"signature"))
ANSWERS = {
    "no SSH": b"HTTP/1.1 400 Bad Request\r\n" * 200,
    "ends the connection": None,
    "names that are no text": BANNER + key_exchange(*NAME_LISTS * [b"\xff\xfe"]),
    "names that nobody knows": BANNER + key_exchange(*NAME_LISTS * [b"unknown"]),
    "a key exchange that is cut off": BANNER + packet(bytes([KEXINIT])),
    "a key that is too short": BANNER + GOOD_OFFER + SHORT_KEY,
    "a packet of a wrong length": BANNER + b"\xff" * 64,
}
ASKING: dict[str, Callable[[Guest], object]] = {
    "host key": lambda guest: guest.host_key(LIMIT_S),
    "script": lambda guest: guest.run("true", LIMIT_S),
}


@pytest.mark.parametrize("asking", ASKING)
@pytest.mark.parametrize("answer", ANSWERS)
def test_wrong_ssh_is_an_error_of_this_guest(answer: str, asking: str) -> None:
    with ssh_server(ANSWERS[answer]) as network, pytest.raises(GuestError) as caught:
        ASKING[asking](guest_of(network))
    assert "namespace vm1" in caught.value.message
    assert caught.value.hint


def test_cheapest_key_exchange_comes_first_and_none_is_lost() -> None:
    ours, usual = (
        transport.get_security_options().kex
        for transport in (
            HandshakeTransport(LIMIT_S, socket.socketpair()[0]),
            paramiko.Transport(socket.socketpair()[0]),
        )
    )
    assert ours[0] == CHEAP_KEY_EXCHANGE
    assert sorted(ours) == sorted(usual)
