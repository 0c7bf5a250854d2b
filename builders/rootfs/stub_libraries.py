"""Replaces big libraries that an image does not use with small stubs.

GnuTLS and its dependencies take 6 MB of a 150 MB image that already has OpenSSL, and contain private keys for its own
tests, which a scan for secrets finds. Two libraries need it:

- Git's libcurl is built with GnuTLS. All other programs use Debian's OpenSSL flavour of libcurl, which has the same
  functions with other symbol versions. A stub that forwards each function to that flavour replaces Git's libcurl.
- libcurl's RTMP library, for a protocol of video streams. A stub in which every open fails replaces it.

spec/builders.toml lists them, and sshd's database of logins, which would need SQLite.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from elftools.elf.elffile import ELFFile

from hornet.errors import BuildError
from hornet.host.proc import run

# A bit in a symbol's version index: this is not the linker's default version.
HIDDEN_VERSION = 0x8000
LIBRARIES = "usr/lib/x86_64-linux-gnu"
CURL, CURL_GNUTLS = "libcurl.so.4", "libcurl-gnutls.so.4"


@dataclass(frozen=True)
class Symbol:
    """A function or a variable that a library defines. version: in the assembler's notation, `@@NODE` for the default
    version, else `@NODE`; empty in a library without versions. data_bytes: a variable's size; None for a function."""

    name: str
    version: str
    data_bytes: int | None

    def assembly(self, number: int, body: str) -> str:
        """The assembly of the symbol: a function with the given body, or a variable of zeros."""
        label = f"shim_{number}" if self.version else self.name
        symver = f".symver {label}, {self.name}{self.version}\n" if self.version else ""
        if self.data_bytes is None:
            return f".text\n.globl {label}\n.type {label}, @function\n{label}: {body}\n{symver}"
        head = f".bss\n.balign 16\n.globl {label}\n.type {label}, @object\n.size {label}, {self.data_bytes}\n"
        return f"{head}{label}: .skip {self.data_bytes}\n{symver}"


def replace_libraries(tree: Path, work: Path, names: Sequence[str]) -> None:
    """Replace libraries in the tree. Every function of those in `names` returns 0, which means no handle or no effect.

    A name that the tree does not have is skipped: which packages a tier has is the spec's business.

    Raises BuildError if the flavours of libcurl differ.
    """
    libraries = tree / LIBRARIES
    wanted, offered = _exported(libraries / CURL_GNUTLS), _exported(libraries / CURL)
    if missing := {symbol.name for symbol in wanted} - {symbol.name for symbol in offered}:
        raise BuildError(f"{CURL} lacks functions that {CURL_GNUTLS} has: {', '.join(sorted(missing)[:5])}")
    # Without a default version among its own functions, the linker takes libcurl's for the jumps. With one it takes the
    # stub's own: each function would jump to itself, for ever. Programs name the version that they need.
    hidden = [replace(symbol, version=symbol.version.replace("@@", "@")) for symbol in wanted]
    _replace(libraries / CURL_GNUTLS, hidden, "jmp {name}@PLT", work, [str(libraries / CURL)])
    for name in filter(lambda name: (libraries / name).exists(), names):
        _replace(libraries / name, _exported(libraries / name), "xor %eax, %eax\n ret", work, [])


def _replace(library: Path, symbols: Sequence[Symbol], body: str, work: Path, linked: Sequence[str]) -> None:
    """Replace `library` with one that has the same symbols, each function with `body`."""
    source, script, output = work / "shim.S", work / "shim.map", work / library.name
    text = "".join(symbol.assembly(i, body.format(name=symbol.name)) for i, symbol in enumerate(symbols))
    source.write_text(text + ".section .note.GNU-stack\n")
    nodes: dict[str, list[str]] = {}
    for symbol in symbols:
        nodes.setdefault(symbol.version.lstrip("@"), []).append(symbol.name)
    script.write_text("".join(f"{node} {{ global: {'; '.join(names)}; }};\n" for node, names in nodes.items()))
    flags = ["-shared", "-nostdlib", "-Wl,--build-id=none", f"-Wl,-soname,{library.name}"]
    # Do not resolve the dependencies of the linked library here.
    flags += ["-Wl,--allow-shlib-undefined", "-Wl,--no-as-needed"]
    flags += [f"-Wl,--version-script={script.name}"] if "" not in nodes else []
    # In `work`, because -Wl would split a path at a comma.
    run(["gcc", *flags, "-o", output, source, *linked], cwd=work, timeout_s=60)
    run(["strip", "--strip-unneeded", output], timeout_s=60)
    library.resolve().unlink()
    library.unlink(missing_ok=True)
    output.rename(library)


def _exported(library: Path) -> list[Symbol]:
    with library.open("rb") as stream:
        elf: Any = ELFFile(stream)
        definitions, indexes = elf.get_section_by_name(".gnu.version_d"), elf.get_section_by_name(".gnu.version")
        found = []
        for number, symbol in enumerate(elf.get_section_by_name(".dynsym").iter_symbols()):
            kind = symbol["st_info"]["type"]
            # Version names are symbols too, without an address.
            if symbol["st_shndx"] in ("SHN_UNDEF", "SHN_ABS") or kind not in ("STT_FUNC", "STT_OBJECT"):
                continue
            index: Any = indexes.get_symbol(number)["ndx"] if definitions else None
            size = symbol["st_size"] if kind == "STT_OBJECT" else None
            found.append(Symbol(symbol.name, _version(definitions, index), size))
        return sorted(found, key=lambda symbol: (symbol.name, symbol.version))


def _version(definitions: Any, index: Any) -> str:
    if not isinstance(index, int):
        return ""
    node = next(definitions.get_version(index & ~HIDDEN_VERSION)[1]).name
    return f"@{node}" if index & HIDDEN_VERSION else f"@@{node}"
