"""The types of the specification: a strict table, and values that are validated when they are read.

A value that would break something later is rejected here: in a shell script, a path on the host or in an image, a
kernel command line, a rule set or a sum.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

# linux/if.h: IFNAMSIZ, without the final zero byte.
INTERFACE_NAME_BYTES = 15
# linux/limits.h
PATH_MAX = 4096
MAX_LINE_CHARACTERS = 500
MAX_SCRIPT_CHARACTERS = 64 << 10
MAX_PATTERN_CHARACTERS = 2000
# x86's COMMAND_LINE_SIZE is 2,048; the drivers add arguments of their own.
MAX_BOOT_ARGUMENTS_CHARACTERS = 1500
MAX_QUANTITY = 1e12
DAY_S = 86_400
# More rounds would take days.
MAX_ROUNDS = 10_000
# Names that sysctl uses in place of an interface, and the interface that every namespace has.
RESERVED_INTERFACES = ("lo", "all", "default")


def _one_line(text: str) -> str:
    if not text.strip() or not text.isprintable() or len(text) > MAX_LINE_CHARACTERS:
        raise ValueError(f"expected one line of 1 … {MAX_LINE_CHARACTERS} printable characters")
    return text


def _script(text: str) -> str:
    printable = text.replace("\n", "").replace("\t", "")
    if not text.strip() or not printable.isprintable() or len(text) > MAX_SCRIPT_CHARACTERS:
        raise ValueError(f"expected a script of 1 … {MAX_SCRIPT_CHARACTERS} printable characters")
    return text


def _pattern(text: str) -> str:
    if len(text) > MAX_PATTERN_CHARACTERS:
        raise ValueError(f"a regular expression of {len(text)} characters, expected at most {MAX_PATTERN_CHARACTERS}")
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return text


def _byte_pattern(text: str) -> str:
    try:
        re.compile(text.encode())
    except re.error as error:
        raise ValueError(f"not a regular expression over bytes: {error}") from error
    return text


def _mac(text: str) -> str:
    if not re.fullmatch(r"([0-9a-f]{2}:){5}[0-9a-f]{2}", text):
        raise ValueError("expected six lower-case hex pairs joined by colons, as in 02:48:4f:00:00:01")
    first, *rest = (int(pair, 16) for pair in text.split(":"))
    if first & 1:
        raise ValueError("a multicast or broadcast address (its first byte is odd): no interface can have it")
    if not any((first, *rest)):
        raise ValueError("the all-zero address: no interface can have it")
    return text


def _interface_name(text: str) -> str:
    if text in RESERVED_INTERFACES:
        raise ValueError("reserved by the kernel")
    return text


def _image_path(text: str) -> str:
    if not text.startswith("/"):
        raise ValueError("expected an absolute path in the image")
    if not text.isprintable() or len(text) > PATH_MAX or {"..", "."} & set(text.split("/")):
        raise ValueError(f"expected a path of printable characters, without . and .., of at most {PATH_MAX}")
    return text


def _address_text(value: object) -> object:
    if isinstance(value, int | float):
        raise ValueError("expected an IPv4 address as text")
    return value


def _unicast(address: IPv4Address) -> IPv4Address:
    if address.is_multicast or address.is_reserved or address.is_loopback or not int(address) >> 24:
        raise ValueError("expected the address of a host: not multicast, loopback, reserved or in 0.0.0.0/8")
    return address


def _unicast_interface(interface: IPv4Interface) -> IPv4Interface:
    _unicast(interface.ip)
    network = interface.network
    if network.prefixlen > 30:
        raise ValueError("expected a network of at least two hosts: /30 or larger, as in 10.0.0.2/24")
    if interface.ip in (network.network_address, network.broadcast_address):
        raise ValueError(f"the network or the broadcast address of {network}: no host can have it")
    return interface


def _unicast_network(network: IPv4Network) -> IPv4Network:
    _unicast(network.network_address)
    _unicast(network.broadcast_address)
    return network


Line = Annotated[str, AfterValidator(_one_line)]
Script = Annotated[str, AfterValidator(_script)]
Pattern = Annotated[str, AfterValidator(_pattern)]
BytePattern = Annotated[str, AfterValidator(_pattern), AfterValidator(_byte_pattern)]
# A table's key. It becomes part of a test's id and of a probe's name.
Token = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=60)]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$", max_length=100)]
# A program's name, as in `command -v NAME`.
Command = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._+-]*$", max_length=100)]
# A Debian or Alpine package, with apk's constraints, as in nodejs~20.
Package = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9+._~=<>@:-]*$", max_length=100)]
Suite = Annotated[str, Field(pattern=r"^[a-z][a-z0-9./-]*$", max_length=60)]
BootArguments = Annotated[str, Field(pattern=r"^[ -~]*$", max_length=MAX_BOOT_ARGUMENTS_CHARACTERS)]
ImagePath = Annotated[str, AfterValidator(_image_path)]
Mac = Annotated[str, AfterValidator(_mac)]
Symbol = Annotated[str, Field(pattern=r"^[A-Z0-9][A-Za-z0-9_]*$", max_length=100)]
Version = Annotated[str, Field(pattern=r"^[0-9]{1,5}(\.[0-9]{1,5}){1,3}$")]
Positive = Annotated[float, Field(gt=0, le=MAX_QUANTITY)]
NotNegative = Annotated[float, Field(ge=0, le=MAX_QUANTITY)]
Seconds = Annotated[float, Field(gt=0, le=DAY_S)]
Port = Annotated[int, Field(ge=1, le=65535)]
InterfaceName = Annotated[
    str,
    Field(min_length=1, max_length=INTERFACE_NAME_BYTES, pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$"),
    AfterValidator(_interface_name),
]
Address = Annotated[IPv4Address, Field(strict=False), BeforeValidator(_address_text), AfterValidator(_unicast)]
HostAddress = Annotated[
    IPv4Interface, Field(strict=False), BeforeValidator(_address_text), AfterValidator(_unicast_interface)
]
AddressRange = Annotated[
    IPv4Network, Field(strict=False), BeforeValidator(_address_text), AfterValidator(_unicast_network)
]
# It is inserted into shell commands without quoting.
Url = Annotated[str, Field(pattern=r"^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~%+/-]*)?$", max_length=500)]


class Table(BaseModel):
    """A TOML table: unknown keys and other types are errors, values can't change, every number is finite."""

    # Deferred: only the whole spec is validated, and it includes the tables below it.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, defer_build=True)
