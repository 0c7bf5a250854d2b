"""A kernel's configuration: read it from where it lies, and judge flags against it.

Sources: the kernel's Documentation/kbuild/kconfig.rst (the .config format), kernel/configs.c (IKCONFIG markers) and
Documentation/x86/boot.rst (bzImage header).
"""

from __future__ import annotations

import bz2
import difflib
import lzma
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hornet.errors import HornetError
from hornet.spec import KernelSymbol

IKCONFIG_BEGIN = b"IKCFG_ST"
BZIMAGE_MAGIC = b"HdrS"
BZIMAGE_MAGIC_OFFSET = 0x202
# A configuration is some 200 KiB, a vmlinux some tens of MiB: whatever unpacks to more is not what it claims to be.
MAX_CONFIG_BYTES = 16 << 20
MAX_KERNEL_BYTES = 512 << 20

_SET = re.compile(r"CONFIG_(\w+)=(.*)")
_UNSET = re.compile(r"# CONFIG_(\w+) is not set")
_TITLE = re.compile(r"# Linux/\S+ (\d+\.\d+(?:\.\d+)?)\S* Kernel Configuration")


class KconfigError(HornetError):
    """A file holds no kernel configuration, or can't be read."""


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
        if found := _SET.fullmatch(line):
            config[found[1]] = found[2]
        elif found := _UNSET.fullmatch(line):
            config[found[1]] = "n"
        elif found := _TITLE.fullmatch(line):
            config.version = found[1]
        elif line and not line.startswith("#"):
            raise KconfigError(f"line {number}: {line[:60]!r} is no kernel configuration", _EXPECTED)
    if not config:
        raise KconfigError("no CONFIG_ line found", _EXPECTED)
    return config


_EXPECTED = "give a .config, a config.gz, a vmlinux or a bzImage built with CONFIG_IKCONFIG"


def format_config(values: Mapping[str, str]) -> str:
    """The text of a .config that parse_config reads back as `values`."""
    lines = (f"# CONFIG_{k} is not set" if v == "n" else f"CONFIG_{k}={v}" for k, v in values.items())
    return "".join(f"{line}\n" for line in lines)


def read_config(path: Path) -> KernelConfig:
    """Read a .config, a config.gz, a vmlinux or a bzImage (told apart by their first bytes).

    Raises KconfigError, naming the file, for anything that is unreadable or holds no configuration.
    """
    try:
        return parse_config(_config_text(path.read_bytes()))
    except OSError as error:
        raise KconfigError(f"{path}: {error.strerror}", _EXPECTED) from error
    except KconfigError as error:
        raise KconfigError(f"{path}: {error.message}", error.hint) from error


def _config_text(data: bytes) -> str:
    if data.startswith(b"\x7fELF"):
        data = _ikconfig(data)
    elif data[BZIMAGE_MAGIC_OFFSET:].startswith(BZIMAGE_MAGIC):
        data = _ikconfig(_unpack_bzimage(data))
    elif data.startswith(b"\x1f\x8b"):
        data = _gunzip(data, MAX_CONFIG_BYTES)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise KconfigError("binary, but neither gzip, ELF nor bzImage", _EXPECTED) from None


def _ikconfig(kernel: bytes) -> bytes:
    """The configuration inside an unpacked kernel: a gzip stream behind a marker."""
    begin = kernel.find(IKCONFIG_BEGIN)
    if begin < 0:
        raise KconfigError("a kernel without its configuration", "build it with CONFIG_IKCONFIG=y, or give its .config")
    return _gunzip(kernel[begin + len(IKCONFIG_BEGIN) :], MAX_CONFIG_BYTES)


def _unpack_bzimage(image: bytes) -> bytes:
    """The vmlinux inside a bzImage: the boot header says where the packed kernel lies."""
    setup_bytes = (image[0x1F1] + 1) * 512
    begin = setup_bytes + int.from_bytes(image[0x248:0x24C], "little")
    payload = image[begin : begin + int.from_bytes(image[0x24C:0x250], "little")]
    if payload.startswith(b"\x1f\x8b"):
        return _gunzip(payload, MAX_KERNEL_BYTES)
    try:
        if payload.startswith(b"BZh"):
            return bz2.BZ2Decompressor().decompress(payload, MAX_KERNEL_BYTES)
        if payload.startswith((b"\xfd7zXZ\0", b"\x5d\0\0")):
            return lzma.LZMADecompressor().decompress(payload, MAX_KERNEL_BYTES)
    except (OSError, lzma.LZMAError) as error:
        raise KconfigError(f"a damaged bzImage: {error}") from error
    raise KconfigError(
        f"a bzImage packed by an unknown method (it begins with {payload[:4].hex(' ')})",
        "gzip, bzip2, lzma and xz are known; give the vmlinux or the .config instead",
    )


def _gunzip(data: bytes, limit_bytes: int) -> bytes:
    try:
        unpacker = zlib.decompressobj(wbits=31)
        unpacked = unpacker.decompress(data, limit_bytes)
    except zlib.error as error:
        raise KconfigError(f"damaged gzip data: {error}") from error
    if not unpacker.eof:
        raise KconfigError(f"gzip data that is cut off, or unpacks to more than {limit_bytes} bytes")
    return unpacked


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
            return "a module: it must be built in, a guest loads no modules"
        if found not in ("n", "absent"):
            return "not a switch: y was expected"
        unmet = [f"{need} is {value}" for need in self._known(symbol).needs if (value := self._value(need)) != "y"]
        if unmet:
            return f"it needs {', '.join(self._known(symbol).needs)}: {', '.join(unmet)}"
        return "turned off" if found == "n" else self._why_absent(symbol)

    def _why_absent(self, symbol: str) -> str:
        similar = difflib.get_close_matches(symbol, self.config, n=2, cutoff=0.9)
        if similar and symbol not in self.symbols:
            return f"unknown to this kernel, or not offered; is {' or '.join(similar)} meant?"
        return "not offered: a symbol that it needs is off, or this kernel has no such symbol"

    def _why_not_removed(self, symbol: str, found: str) -> str:
        if found == "n":
            return "turned off"
        if found == "absent":
            return "not offered by this configuration"
        known = self._known(symbol)
        if known.hidden_without and self._value(known.hidden_without) != "y":
            return (
                f"the kernel forces it on unless {known.hidden_without}=y, which is {self._value(known.hidden_without)}"
            )
        if known.forced_by and self._value(known.forced_by) == "y":
            return f"{known.forced_by}=y selects it in a kernel without HornetOS's patch"
        return f"must be off: {'a module' if found == 'm' else f'found {found}'}"

    def _outside_its_versions(self, symbol: str) -> tuple[bool, str] | None:
        """The verdict on a symbol that this kernel version can't have; None if it can or nothing is known."""
        known = self._known(symbol)
        if self.version is None:
            return None
        if known.since and version_key(self.version) < version_key(known.since):
            return True, f"not judged: it came with Linux {known.since}, this is {self.version}"
        if known.gone_in is None or version_key(self.version) < version_key(known.gone_in):
            return None
        gone = f"gone since Linux {known.gone_in}"
        if known.boot_argument:
            value = _last_boot_value(self.command_line, known.boot_argument) or "on by default"
            decides = f"{gone}: the boot argument {known.boot_argument} decides, and it is {value}"
            return value not in ("0", "n", "N", "off"), decides
        return True, f"not judged: {gone}, this is {self.version}"

    def _known(self, symbol: str) -> KernelSymbol:
        return self.symbols.get(symbol) or KernelSymbol()

    def _value(self, symbol: str) -> str:
        return self.config.get(symbol, "absent")


def version_key(version: str) -> tuple[int, ...]:
    """6.1.192 → (6, 1, 192), for comparisons. Raises KconfigError for anything that does not begin with numbers."""
    if not (found := re.match(r"\d+(\.\d+)+", version)):
        raise KconfigError(f"{version!r} is no kernel version", "write it as in 5.10.225 or 6.1")
    return tuple(int(part) for part in found[0].split("."))


def _last_boot_value(command_line: str, argument: str) -> str | None:
    values = [word.partition("=")[2] for word in command_line.split() if word.partition("=")[0] == argument]
    return values[-1] if values else None
