"""Small libraries in place of big ones that an image does not use.

GnuTLS with all that it needs is 6 MB of a 150 MB image that has OpenSSL. Two things want it. Git's libcurl is built
with GnuTLS, while everything else has Debian's other flavour, with the same functions under other symbol versions: a
library that forwards each function to the other flavour replaces it. And libcurl's RTMP (a protocol for video
streams) wants it: a library in which nothing can be opened replaces that. The same goes for sshd's database of
logins, which would bring SQLite.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from elftools.elf.elffile import ELFFile

from hornet.errors import BuildError
from hornet.proc import run

LIBRARIES = "usr/lib/x86_64-linux-gnu"
CURL, CURL_GNUTLS, CURL_GNUTLS_VERSION = "libcurl.so.4", "libcurl-gnutls.so.4", "CURL_GNUTLS_3"
# Every function of these answers 0: no handle, nothing done.
REFUSING = ("librtmp.so.1", "libwtmpdb.so.0")


def replace_libraries(tree: Path, work: Path) -> None:
    """Replace these libraries in the tree. Raises BuildError if the flavours of libcurl differ."""
    libraries = tree / LIBRARIES
    functions = _exported(libraries / CURL_GNUTLS, "curl_")
    if missing := functions - _exported(libraries / CURL, "curl_"):
        raise BuildError(f"{CURL} lacks functions that {CURL_GNUTLS} has: {', '.join(sorted(missing)[:5])}")
    forwards = (_function(f"to_{name}", f"jmp {name}@PLT", f"{name}@@{CURL_GNUTLS_VERSION}") for name in functions)
    versions = f"{CURL_GNUTLS_VERSION} {{ global: curl_*; local: *; }};\n"
    _replace(libraries / CURL_GNUTLS, forwards, work, [str(libraries / CURL)], versions)
    for name in REFUSING:
        refusals = [_function(function, "xor %eax, %eax\n ret") for function in _exported(libraries / name, "")]
        _replace(libraries / name, refusals, work, [])


def _function(name: str, body: str, version: str = "") -> str:
    symver = f".symver {name}, {version}\n" if version else ""
    return f".globl {name}\n.type {name}, @function\n{name}: {body}\n{symver}"


def _replace(library: Path, functions: Iterable[str], work: Path, linked: list[str], versions: str = "") -> None:
    """Assemble a library of the same name from `functions` and put it in the place of `library`."""
    source, script, output = work / "shim.S", work / "shim.map", work / library.name
    source.write_text("".join(sorted(functions)) + ".section .note.GNU-stack\n")
    script.write_text(versions)
    flags = ["-shared", "-nostdlib", "-Wl,--build-id=none", f"-Wl,-soname,{library.name}"]
    # What the linked library itself needs is not ours to resolve here.
    flags += ["-Wl,--allow-shlib-undefined", "-Wl,--no-as-needed"]
    flags += [f"-Wl,--version-script={script}"] if versions else []
    run(["gcc", *flags, "-o", output, source, *linked], timeout_s=60)
    run(["strip", "--strip-unneeded", output], timeout_s=60)
    library.resolve().unlink()
    library.unlink(missing_ok=True)
    output.rename(library)


def _exported(library: Path, prefix: str) -> set[str]:
    with library.open("rb") as stream:
        table: Any = ELFFile(stream).get_section_by_name(".dynsym")
        return {
            symbol.name
            for symbol in table.iter_symbols()
            if symbol.name.startswith(prefix)
            and symbol["st_shndx"] != "SHN_UNDEF"
            and symbol["st_info"]["type"] == "STT_FUNC"
        }
