"""Small libraries in place of big ones that an image does not use.

GnuTLS with all that it needs is 6 MB of a 150 MB image that has OpenSSL. Two things want it. Git's libcurl is built
with GnuTLS, while everything else has Debian's other flavour, with the same functions under other symbol versions: a
library that forwards each function to the other flavour replaces it. And libcurl's RTMP (a protocol for video
streams) wants it: a library in which nothing can be opened replaces that. The same goes for sshd's database of
logins, which would bring SQLite.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from elftools.elf.elffile import ELFFile

from hornet.errors import BuildError
from hornet.proc import run

# The top bit says that a version is not the default one.
VERSION_INDEX = 0x7FFF
LIBRARIES = "usr/lib/x86_64-linux-gnu"
CURL, CURL_GNUTLS = "libcurl.so.4", "libcurl-gnutls.so.4"
# Every function of these answers 0: no handle, nothing done.
REFUSING = ("librtmp.so.1", "libwtmpdb.so.0")


def replace_libraries(tree: Path, work: Path) -> None:
    """Replace these libraries in the tree. Raises BuildError if the flavours of libcurl differ."""
    libraries = tree / LIBRARIES
    wanted, offered = _exported(libraries / CURL_GNUTLS), _exported(libraries / CURL)
    if missing := wanted.keys() - offered.keys():
        raise BuildError(f"{CURL} lacks functions that {CURL_GNUTLS} has: {', '.join(sorted(missing)[:5])}")
    forwards = {name: f"jmp {name}@PLT" for name in wanted}
    _replace(libraries / CURL_GNUTLS, forwards, wanted, work, [str(libraries / CURL)])
    for name in REFUSING:
        functions = _exported(libraries / name)
        _replace(libraries / name, dict.fromkeys(functions, "xor %eax, %eax\n ret"), functions, work, [])


def _replace(
    library: Path, bodies: Mapping[str, str], versions: Mapping[str, str], work: Path, linked: list[str]
) -> None:
    """Assemble a library of functions, under their symbol versions, and put it in the place of `library`."""
    source, script, output = work / "shim.S", work / "shim.map", work / library.name
    lines = []
    for name, body in sorted(bodies.items()):
        lines.append(f".globl shim_{name}\n.type shim_{name}, @function\nshim_{name}: {body}\n")
        lines.append(f".symver shim_{name}, {name}@@{versions[name]}\n")
    source.write_text("".join(lines) + ".section .note.GNU-stack\n")
    nodes = sorted(set(versions.values()))
    script.write_text("".join(f"{node} {{ {'local: *;' if node == nodes[0] else ''} }};\n" for node in nodes))
    flags = ["-shared", "-nostdlib", "-Wl,--build-id=none", f"-Wl,-soname,{library.name}"]
    # What the linked library itself needs is not ours to resolve here.
    flags += ["-Wl,--allow-shlib-undefined", "-Wl,--no-as-needed", f"-Wl,--version-script={script}"]
    run(["gcc", *flags, "-o", output, source, *linked], timeout_s=60)
    run(["strip", "--strip-unneeded", output], timeout_s=60)
    library.resolve().unlink()
    library.unlink(missing_ok=True)
    output.rename(library)


def _exported(library: Path) -> dict[str, str]:
    """{function: symbol version} of all that a library defines."""
    with library.open("rb") as stream:
        elf: Any = ELFFile(stream)
        definitions = elf.get_section_by_name(".gnu.version_d")
        indexes = elf.get_section_by_name(".gnu.version")
        found = {}
        for number, symbol in enumerate(elf.get_section_by_name(".dynsym").iter_symbols()):
            index = indexes.get_symbol(number)["ndx"]
            if (
                symbol["st_shndx"] == "SHN_UNDEF"
                or symbol["st_info"]["type"] != "STT_FUNC"
                or not isinstance(index, int)
            ):
                continue
            _, names = definitions.get_version(index & VERSION_INDEX)
            found[symbol.name] = next(names).name
        return found
