"""Reduces ICU's data to English, from 32 MB to 5 (guide: What We Remove, Locales: English only needed)."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from elftools.elf.elffile import ELFFile

from builders.rootfs.toolbox import Toolbox
from hornet.errors import BuildError
from hornet.host.proc import run

LOCALE_ITEM = re.compile(r"^(?:[a-z]+/)?([a-z]{2,3})(?:_[A-Za-z0-9_]*)?\.res$")
# Converters for legacy encodings, transliterators between scripts, character names, word lists of Asian scripts.
BIG_ITEM = re.compile(r"^translit/.*|.*\.cnv$|^unames\.icu$|^brkitr/.*\.dict$")
BREAK_ROOT = "brkitr/root.res"
BOX = "icu-work"
KEPT_LANGUAGES = {"en"}


def removable(items: Iterable[str]) -> list[str]:
    """The items of an ICU data package that English does not need."""
    return [item for item in items if BIG_ITEM.match(item) or _foreign(item)]


def _foreign(item: str) -> bool:
    found = LOCALE_ITEM.match(item)
    return found is not None and found[1] not in KEPT_LANGUAGES


def shrink(tree: Path, toolbox: Toolbox, work: Path) -> Path:
    """Write a libicudata with English data only, made from the one in `tree`. Returns the new library.

    It uses the icupkg of the same suite, so that the formats match. Raises BuildError.
    """
    libraries = list(tree.glob("usr/lib/x86_64-linux-gnu/libicudata.so.*.*"))
    if len(libraries) != 1:
        raise BuildError(f"expected one libicudata in {tree}, found {len(libraries)}")
    library = libraries[0]
    major = library.name.split(".")[2]
    # icupkg requires this name: the version, then l for little-endian.
    data_name = f"icudt{major}l.dat"
    box = work / BOX
    box.mkdir()
    (box / data_name).write_bytes(_data_of(library, f"icudt{major}_dat"))
    _forget_word_lists(toolbox, box, data_name)
    listing = toolbox.run("icupkg", "-l", data_name, cwd=box)
    (box / "remove.lst").write_text("\n".join(removable(listing.split())) + "\n")
    toolbox.run("icupkg", "-r", "remove.lst", data_name, work / data_name, cwd=box)
    shutil.rmtree(box)
    return _link(work / data_name, f"icudt{major}_dat", work / library.name, f"libicudata.so.{major}")


def _forget_word_lists(toolbox: Toolbox, box: Path, data_name: str) -> None:
    """Remove the references to word lists from the root locale's break rules, so that the lists can be removed."""
    (box / "brkitr").mkdir()
    toolbox.run("icupkg", "-x", BREAK_ROOT, data_name, cwd=box)
    toolbox.run("derb", BREAK_ROOT, cwd=box)
    text = (box / "root.txt").read_text()
    text = re.sub(r'^\s*"\w+\.dict",\n', "", text, flags=re.MULTILINE)
    text = re.sub(r"^\s*(?:dictionaries|lstm)\s*\{(?:[^{}]*\{[^{}]*\})*\s*\}\n", "", text, flags=re.MULTILINE)
    (box / "root.txt").write_text(text)
    toolbox.run("genrb", "-d", "brkitr", "root.txt", cwd=box)
    (box / "add.lst").write_text(f"{BREAK_ROOT}\n")
    toolbox.run("icupkg", "-a", "add.lst", data_name, cwd=box)


def _data_of(library: Path, symbol_name: str) -> bytes:
    with library.open("rb") as stream:
        elf = ELFFile(stream)
        table: Any = elf.get_section_by_name(".dynsym")
        symbols = table.get_symbol_by_name(symbol_name) if table else None
        if not symbols:
            raise BuildError(f"{library} has no symbol {symbol_name}")
        address, size = symbols[0]["st_value"], symbols[0]["st_size"]
        (offset,) = elf.address_offsets(address)
        stream.seek(offset)
        if not size:
            # The symbol has no size; the data ends with its section.
            section = elf.get_section(symbols[0]["st_shndx"])
            size = section["sh_addr"] + section["sh_size"] - address
        return stream.read(size)


def _link(data: Path, symbol: str, output: Path, soname: str) -> Path:
    """Link a shared library that contains only the data and its symbol."""
    source = data.with_suffix(".S")
    source.write_text(
        f'.section .rodata\n.balign 16\n.globl {symbol}\n.type {symbol}, @object\n{symbol}:\n.incbin "{data.name}"\n'
        f".size {symbol}, . - {symbol}\n.section .note.GNU-stack\n"
    )
    argv = [
        "gcc",
        "-shared",
        "-nostdlib",
        "-Wl,--build-id=none",
        f"-Wl,-soname,{soname}",
        "-o",
        output.name,
        source.name,
    ]
    run(argv, timeout_s=60, cwd=data.parent)
    run(["strip", "--strip-unneeded", output.name], timeout_s=60, cwd=data.parent)
    return output
