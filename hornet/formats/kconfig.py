"""A kernel's configuration: reads it from a file and judges flags.

Sources: the kernel's Documentation/kbuild/kconfig.rst (the .config format), kernel/configs.c (IKCONFIG markers) and
Documentation/x86/boot.rst (bzImage header).
"""

from __future__ import annotations

import codecs
import difflib
import itertools
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hornet.errors import HornetError
from hornet.foreign_file import ForeignFileError, open_foreign
from hornet.formats.magic import packed_format
from hornet.formats.packed import (
    CHUNK_BYTES,
    MAX_UNPACKED_BYTES,
    Gunzip,
    PackedError,
    unpack,
    unpack_members,
    unpacker_of,
)
from hornet.sandbox import Limits, confined
from hornet.spec.kernel import KernelSymbol

IKCONFIG_BEGIN = b"IKCFG_ST"
BZIMAGE_MAGIC = b"HdrS"
BZIMAGE_MAGIC_OFFSET = 0x202
BZIMAGE_HEAD_BYTES = 0x250
# A configuration has some 300 KiB. Anything much bigger is something else.
MAX_CONFIG_BYTES = 2 << 20
MAX_KERNEL_BYTES = MAX_UNPACKED_BYTES
LIMITS = Limits(time_s=60.0)
# No kernel has longer names and values.
MAX_LINE_CHARACTERS = 4096
# Linux 6 has some 20,000 symbols for all architectures. Each is compared with the missing ones.
MAX_SYMBOLS = 30_000

# Nobody sets them: Kconfig writes one of them into each configuration, and into no fragment or defconfig.
ALWAYS_PRESENT = frozenset({"X86", "ARM64", "CC_VERSION_TEXT"})

_SET = re.compile(r"CONFIG_([A-Za-z0-9_]{1,100})=(.*)")
_UNSET = re.compile(r"# CONFIG_([A-Za-z0-9_]{1,100}) is not set")
_VERSION = r"[0-9]{1,5}(?:\.[0-9]{1,5}){1,2}"
_TITLE = re.compile(rf"# Linux/\S{{1,60}} ({_VERSION})\S* Kernel Configuration")


class KconfigError(HornetError):
    """A file contains no kernel configuration, or cannot be read."""


class KernelConfig(dict[str, str]):
    """Symbol (without CONFIG_) → value as written: y, m, n (`is not set`), a number, a quoted string.

    `version` is the kernel's, from the title comment of the file, if it has one.
    """

    version: str | None = None


@dataclass(frozen=True)
class FlagVerdict:
    """One symbol judged: `expected` is y or n, `found` is y, m, n, absent or another value."""

    symbol: str
    expected: str
    found: str
    ok: bool
    reason: str


def parse_config(text: str) -> KernelConfig:
    """Parse the text of a .config. As in the kernel, the last of several values of one symbol counts.

    Raises KconfigError for a line that is neither a value nor a comment, and for a text without any value.
    """
    config = KernelConfig()
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if len(line) > MAX_LINE_CHARACTERS:
            raise KconfigError(f"line {number}: {len(line)} characters, too long for a configuration", _EXPECTED)
        if found := _SET.fullmatch(line):
            config[found[1]] = found[2]
        elif found := _UNSET.fullmatch(line):
            config[found[1]] = "n"
        elif found := _TITLE.fullmatch(line):
            config.version = found[1]
        elif line and not line.startswith("#"):
            raise KconfigError(f"line {number}: {line[:60]!r} is not a line of a kernel configuration", _EXPECTED)
    if len(config) > MAX_SYMBOLS:
        raise KconfigError(f"{len(config)} symbols, more than any kernel has ({MAX_SYMBOLS})", _EXPECTED)
    if not config:
        raise KconfigError("no CONFIG_ line found", _EXPECTED)
    return config


_EXPECTED = "give a .config, a config.gz, a vmlinux or a bzImage built with CONFIG_IKCONFIG"


def require_whole(config: KernelConfig, source: Path) -> None:
    """Raises KconfigError for a fragment: what it leaves out has a default, which only the kernel's Kconfig knows."""
    if config.version is None and not ALWAYS_PRESENT & config.keys():
        raise KconfigError(
            f"{source}: a fragment: {len(config)} symbols, neither Kconfig's title nor any of "
            f"{', '.join(sorted(ALWAYS_PRESENT))}, which a whole configuration has",
            "make the whole one in the source (scripts/kconfig/merge_config.sh BASE FRAGMENT); give its .config",
        )


def format_config(values: Mapping[str, str]) -> str:
    """The text of a .config that parse_config reads back as `values`."""
    lines = (f"# CONFIG_{k} is not set" if v == "n" else f"CONFIG_{k}={v}" for k, v in values.items())
    return "".join(f"{line}\n" for line in lines)


def read_config(path: Path) -> KernelConfig:
    """Read a .config, a vmlinux or a bzImage, packed or not (told apart by their first bytes), in confinement.

    Raises KconfigError, naming the file, if it is unreadable or contains no configuration.
    """
    try:
        with open_foreign(path, MAX_KERNEL_BYTES) as stream:
            found = confined(confined_config, {}, what=str(path), limits=LIMITS, inputs={"kernel": stream})
    except ForeignFileError as error:
        raise KconfigError(error.message, _EXPECTED) from error
    config = KernelConfig(found[0])
    config.version = found[1]
    return config


def confined_config(kernel: int) -> tuple[dict[str, str], str | None]:
    """The confined part of read_config(): values by symbol, and the version."""
    with os.fdopen(kernel, "rb") as stream:
        config = extract_config(stream)
    return dict(config), config.version


def extract_config(stream: BinaryIO) -> KernelConfig:
    """The configuration in an open .config, config.gz, vmlinux or bzImage. Raises KconfigError.

    Only the configuration itself and a chunk of the rest are in memory.
    """
    try:
        text = _config_text(stream)
    except PackedError as error:
        raise KconfigError(error.message, _EXPECTED) from error
    return parse_config(_decoded(text))


def _config_text(stream: BinaryIO) -> bytes:
    head = stream.read(BZIMAGE_HEAD_BYTES)
    stream.seek(0)
    if head[BZIMAGE_MAGIC_OFFSET:].startswith(BZIMAGE_MAGIC):
        return _ikconfig(_unpack_bzimage(head, stream))
    if unpacker_of(head):
        return _config_in(unpack_members(_chunks(stream)))
    if packed := packed_format(head):
        raise KconfigError(f"{packed.what}, which is not unpacked here", packed.remedy)
    return _config_in(_chunks(stream))


def _config_in(unpacked: Iterator[bytes]) -> bytes:
    """The configuration in a vmlinux, or the whole text."""
    first = next(unpacked, b"")
    rest = itertools.chain([first], unpacked)
    return _ikconfig(rest) if first.startswith(b"\x7fELF") else _collect(rest)


def _decoded(text: bytes) -> str:
    """Editors of other systems add a byte order mark; lines may end with CR LF."""
    if text.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise KconfigError("binary, or a text in UTF-16; expected UTF-8", "iconv -f UTF-16 -t UTF-8 FILE > .config")
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError:
        if b"\0" not in text:  # a name or a comment in an older encoding: no flag depends on it
            return text.decode("latin-1")
        raise KconfigError("binary, but neither gzip, ELF nor bzImage", _EXPECTED) from None


def _chunks(stream: BinaryIO, limit_bytes: int = MAX_KERNEL_BYTES) -> Iterator[bytes]:
    while limit_bytes > 0 and (chunk := stream.read(min(CHUNK_BYTES, limit_bytes))):
        yield chunk
        limit_bytes -= len(chunk)


def _collect(chunks: Iterable[bytes]) -> bytes:
    """The complete configuration. Raises KconfigError if it is too big for one."""
    text = bytearray()
    for chunk in chunks:
        text += chunk
        if len(text) > MAX_CONFIG_BYTES:
            raise KconfigError(f"more than {MAX_CONFIG_BYTES} bytes, too much for a configuration", _EXPECTED)
    return bytes(text)


def _ikconfig(kernel: Iterator[bytes]) -> bytes:
    """The configuration in an unpacked kernel: a gzip stream after a marker."""
    window = b""
    for chunk in kernel:
        window += chunk
        begin = window.find(IKCONFIG_BEGIN)
        if begin >= 0:
            rest = window[begin + len(IKCONFIG_BEGIN) :]
            return _collect(unpack(Gunzip(), itertools.chain([rest], kernel)))
        window = window[1 - len(IKCONFIG_BEGIN) :]
    raise KconfigError("a kernel without its configuration", "build it with CONFIG_IKCONFIG=y, or give its .config")


def _unpack_bzimage(head: bytes, image: BinaryIO) -> Iterator[bytes]:
    """The vmlinux in a bzImage: the boot header has the offset of the packed kernel."""
    setup_bytes = (head[0x1F1] + 1) * 512
    image.seek(setup_bytes + int.from_bytes(head[0x248:0x24C], "little"))
    payload = _chunks(image, int.from_bytes(head[0x24C:0x250], "little"))
    first = next(payload, b"")
    packed = itertools.chain([first], payload)
    if unpacker := unpacker_of(first):
        return unpack(unpacker, packed)
    raise KconfigError(
        f"a bzImage packed by an unknown method (it begins with {first[:4].hex(' ') or 'nothing'})",
        "gzip, bzip2, lzma and xz are supported; give the vmlinux or the .config instead",
    )


def check_flags(
    config: Mapping[str, str],
    required: Iterable[str],
    removed: Iterable[str],
    version: str | None = None,
    *,
    symbols: Mapping[str, KernelSymbol] | None = None,
    boot_args: str = "",
) -> list[FlagVerdict]:
    """Judge flags: required ones must be y (built in), removed ones n or absent.

    `version` is the kernel's; with it and `symbols` (spec.kernel.symbols), a symbol that this version does not have
    is judged by what decides in its stead: a boot argument, looked for in `boot_args` and in CONFIG_CMDLINE.
    """
    judge = _Judge(config, version, symbols or {}, f"{config.get('CMDLINE', '').strip(chr(34))} {boot_args}")
    return [*map(judge.required, required), *map(judge.removed, removed)]


@dataclass(frozen=True)
class _Judge:
    config: Mapping[str, str]
    version: str | None
    symbols: Mapping[str, KernelSymbol]
    command_line: str

    def required(self, symbol: str) -> FlagVerdict:
        found = self.config.get(symbol, "absent")
        if found == "absent" and (outside := self._outside_its_versions(symbol)):
            ok, reason = outside
        else:
            ok, reason = found == "y", self._why_not_required(symbol, found)
        return FlagVerdict(symbol, "y", found, ok, reason)

    def removed(self, symbol: str) -> FlagVerdict:
        found = self.config.get(symbol, "absent")
        return FlagVerdict(symbol, "n", found, found in ("n", "absent"), self._why_not_removed(symbol, found))

    def _why_not_required(self, symbol: str, found: str) -> str:
        if found == "y":
            return "built in"
        if found == "m":
            return "a module: it must be built in, because guests load no modules"
        if found not in ("n", "absent"):
            return "not a boolean, expected y"
        needs = [need for need in self._known(symbol).needs if self._may_exist(need)]
        unmet = [f"{need} is {value}" for need in needs if (value := self._value(need)) != "y"]
        if unmet:
            return f"it needs {', '.join(needs)}: {', '.join(unmet)}"
        return "disabled" if found == "n" else self._why_absent(symbol)

    def _why_absent(self, symbol: str) -> str:
        similar = [] if symbol in self.symbols else difflib.get_close_matches(symbol, self.config, n=2, cutoff=0.9)
        if similar:
            return f"unknown to this kernel, or not available; did you mean {' or '.join(similar)}?"
        return "not available: a symbol that it needs is disabled, or this kernel has no such symbol"

    def _why_not_removed(self, symbol: str, found: str) -> str:
        if found == "n":
            return "turned off"
        if found == "absent":
            return "not available in this configuration"
        known = self._known(symbol)
        if known.hidden_without and self._value(known.hidden_without) != "y":
            return (
                f"the kernel enables it unless {known.hidden_without}=y, which is {self._value(known.hidden_without)}"
            )
        if known.forced_by and self._value(known.forced_by) == "y":
            return f"{known.forced_by}=y selects it in a kernel without HornetOS's patch"
        return f"must be disabled: {'a module' if found == 'm' else f'found {found}'}"

    def _outside_its_versions(self, symbol: str) -> tuple[bool, str] | None:
        """The verdict on a symbol that this kernel version cannot have; None if it can have it or nothing is known."""
        known = self._known(symbol)
        if self.version is None:
            return None
        if known.since and version_key(self.version) < version_key(known.since):
            return True, f"not judged: it was added in Linux {known.since}, this is {self.version}"
        if known.gone_in is None or version_key(self.version) < version_key(known.gone_in):
            return None
        gone = f"removed in Linux {known.gone_in}"
        if known.boot_argument:
            value = _last_boot_value(self.command_line, known.boot_argument) or "enabled by default"
            decides = f"{gone}: the boot argument {known.boot_argument} decides, and it is {value}"
            return value not in ("0", "n", "N", "off"), decides
        return True, f"not judged: {gone}, this is {self.version}"

    def _may_exist(self, symbol: str) -> bool:
        """Whether this kernel version can have a symbol. Of an unknown version, one that came late is not expected."""
        known = self._known(symbol)
        if self.version is None:
            return known.since is None
        return self._outside_its_versions(symbol) is None

    def _known(self, symbol: str) -> KernelSymbol:
        return self.symbols.get(symbol) or KernelSymbol()

    def _value(self, symbol: str) -> str:
        return self.config.get(symbol, "absent")


def version_key(version: str) -> tuple[int, ...]:
    """6.1.192 → (6, 1, 192), for comparisons. Raises KconfigError for anything that does not begin with numbers."""
    if not (found := re.match(r"[0-9]{1,5}(\.[0-9]{1,5}){1,3}(?![0-9])", version)):
        raise KconfigError(f"{version[:60]!r} is not a kernel version", "write it as in 5.10.225 or 6.1")
    return tuple(int(part) for part in found[0].split("."))


def _last_boot_value(command_line: str, argument: str) -> str | None:
    values = [word.partition("=")[2] for word in command_line.split() if word.partition("=")[0] == argument]
    return values[-1] if values else None
