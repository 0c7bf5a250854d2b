"""Removes the symbols that only the library itself uses: Debian's libnode shrinks from 55 MB to 45.

Node.js as a library exports all of its 65,000 functions and refers to its own by name. Names and tables take 10 MB.
trim() turns the library's references to itself into relative relocations in the compact form (RELR). The symbol table
keeps the imports, the names that another program or library of the image uses, and the names that `kept` matches. Code
and data stay at their addresses, byte for byte, except for the addresses that the loader would write at start. A
program that is added to the image later cannot use the removed names.

System V ABI, chapter 5; the GNU hash table and RELR as glibc reads them (elf/dl-lookup.c, elf/dl-relocate-ld.h).
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from elftools.elf.elffile import ELFFile

from hornet.errors import BuildError
from hornet.formats.elf import MAGIC

PAGE_BYTES, WORD_BYTES, RELR_BITS = 4096, 8, 63
SYMBOL, RELOCATION, DYNAMIC = struct.Struct("<IBBHQQ"), struct.Struct("<QQq"), struct.Struct("<qQ")
SEGMENT, NEED, NEED_AUX = struct.Struct("<IIQQQQQQ"), struct.Struct("<HHIII"), struct.Struct("<IHHII")
# The fields of the ELF header that describe the section table. The loader does not need it.
SECTION_TABLE_OFFSET, SECTION_COUNTS_OFFSET = 0x28, 0x3A
PT_LOAD = 1
R_64, R_GLOB_DAT, R_JUMP_SLOT, R_RELATIVE = 1, 6, 7, 8
BY_ADDRESS = (R_64, R_GLOB_DAT, R_JUMP_SLOT)
DT_NULL, DT_NEEDED, DT_PLTRELSZ, DT_STRTAB, DT_SYMTAB, DT_RELA, DT_RELASZ = 0, 1, 2, 5, 6, 7, 8
DT_STRSZ, DT_SONAME, DT_JMPREL, DT_RELRSZ, DT_RELR, DT_RELRENT = 10, 14, 23, 35, 36, 37
DT_GNU_HASH, DT_VERSYM, DT_RELACOUNT, DT_VERNEED = 0x6FFFFEF5, 0x6FFFFFF0, 0x6FFFFFF9, 0x6FFFFFFE
TABLES = (".gnu.hash", ".dynsym", ".dynstr", ".gnu.version", ".gnu.version_r", ".rela.dyn", ".rela.plt")
# glibc rejects a library with RELR unless the library requires this version of glibc.
LIBC, RELR_VERSION = "libc.so.6", "GLIBC_ABI_DT_RELR"


def known_names(paths: Iterable[Path]) -> set[str]:
    """Every name in the dynamic symbol tables of these files, exported or imported. Other files have none."""
    names: set[str] = set()
    for path in paths:
        content = path.read_bytes()
        if content.startswith(MAGIC):
            tables = _Tables(content)
            names |= {tables.name(symbol[0]) for symbol in tables.symbols}
    return names


def trim(library: Path, known: Collection[str], kept: str) -> None:
    """Rewrite a library in place. known: names that other files of the image use. kept: a pattern of more names.

    Raises BuildError for a library whose tables do not have GNU ld's layout.
    """
    tables = _Tables(library.read_bytes())
    wanted = re.compile(kept)
    forced = {sym for _, kind, sym, _ in tables.relocations() if kind not in BY_ADDRESS}
    stays = {
        index
        for index, symbol in enumerate(tables.symbols)
        if symbol[3] == 0 or index in forced or (name := tables.name(symbol[0])) in known or wanted.match(name)
    }
    library.write_bytes(_Trimmed(tables, stays).content())


class _Tables:
    """The dynamic tables of an ELF file."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.elf = ELFFile(io.BytesIO(content))
        self._raw = {name: self._section(name) for name in (*TABLES, ".dynamic")}
        self.symbols = list(SYMBOL.iter_unpack(self._raw[".dynsym"]))

    def raw(self, name: str) -> bytes:
        return self._raw[name]

    def name(self, offset: int) -> str:
        """The string at an offset of the string table."""
        strings = self._raw[".dynstr"]
        return strings[offset : strings.index(b"\0", offset)].decode()

    def relocations(self, section: str | None = None) -> Iterator[tuple[int, int, int, int]]:
        """(address, type, symbol, addend) of one relocation table, or of both."""
        for name in [section] if section else [".rela.dyn", ".rela.plt"]:
            for address, info, addend in RELOCATION.iter_unpack(self._raw[name]):
                yield address, info & 0xFFFFFFFF, info >> 32, addend

    def needs(self) -> Iterator[tuple[str, list[tuple[int, int, int, str]]]]:
        """The required versions, by file: (hash, flags, index, name)."""
        raw, place, more = self._raw[".gnu.version_r"], 0, bool(self._raw[".gnu.version_r"])
        while more:
            _, count, file, first, following = NEED.unpack_from(raw, place)
            versions, at = [], place + first
            for _ in range(count):
                digest, flags, index, name, step = NEED_AUX.unpack_from(raw, at)
                versions.append((digest, flags, index, self.name(name)))
                at += step
            yield self.name(file), versions
            place, more = place + following, following > 0

    def _section(self, name: str) -> bytes:
        section: Any = self.elf.get_section_by_name(name)
        return self.content[section["sh_offset"] : section["sh_offset"] + section["sh_size"]] if section else b""


@dataclass
class _Strings:
    """A string table that grows."""

    content: bytearray = field(default_factory=lambda: bytearray(1))
    offsets: dict[str, int] = field(default_factory=dict)

    def add(self, text: str) -> int:
        if text not in self.offsets:
            self.offsets[text] = len(self.content)
            self.content += text.encode() + b"\0"
        return self.offsets[text]


class _Trimmed:
    """The same library with only the symbols `stays`."""

    def __init__(self, tables: _Tables, stays: Collection[int]) -> None:
        self.old = tables
        self.strings = _Strings()
        imports = [index for index in sorted(stays) if tables.symbols[index][3] == 0]
        exports = [index for index in sorted(stays) if tables.symbols[index][3] != 0]
        self.buckets = len(exports) // 4 + 1
        exports.sort(key=lambda index: self._hash(index) % self.buckets)
        self.exports, self.first_export = exports, len(imports)
        self.order = [*imports, *exports]
        self.new_index = {index: place for place, index in enumerate(self.order)}

    def content(self) -> bytes:
        body = bytearray(self.old.content)
        relative = self._relative()
        for address, value in relative.items():
            struct.pack_into("<Q", body, self._file_offset(address), value)
        tables = self._new_tables(sorted(relative))
        start = self._start_of_tables()
        head, addresses = bytearray(body[:start]), {}
        for tag, table in tables.items():
            head += bytes(-len(head) % WORD_BYTES)
            addresses[tag] = len(head)
            head += table
        self._write_dynamic(body, tables, addresses)
        return self._assemble(head, body)

    def _hash(self, index: int) -> int:
        value = 5381
        for byte in self.old.name(self.old.symbols[index][0]).encode():
            value = (value * 33 + byte) & 0xFFFFFFFF
        return value

    def _relative(self) -> dict[int, int]:
        """The relative relocations: {address: value}."""
        found = {}
        for address, kind, symbol, addend in self.old.relocations():
            if kind == R_RELATIVE:
                found[address] = addend
            elif kind in BY_ADDRESS and symbol not in self.new_index:
                found[address] = self.old.symbols[symbol][4] + (addend if kind == R_64 else 0)
        odd = [address for address in found if address % WORD_BYTES]
        if odd:
            raise BuildError(f"a relocation at an odd address, {odd[0]:#x}: this library can't be trimmed")
        return found

    def _new_tables(self, relative: Sequence[int]) -> dict[int, bytes]:
        """The tables by their tag in the dynamic section. The strings come last because the others add to them."""
        symbols = b"".join(
            SYMBOL.pack(self.strings.add(self.old.name(name)), *rest)
            for name, *rest in (self.old.symbols[index] for index in self.order)
        )
        versions = struct.unpack(f"<{len(self.old.symbols)}H", self.old.raw(".gnu.version"))
        tables = {
            DT_GNU_HASH: self._hash_table(),
            DT_SYMTAB: symbols,
            DT_VERSYM: struct.pack(f"<{len(self.order)}H", *(versions[index] for index in self.order)),
            DT_VERNEED: self._version_needs(),
            DT_RELA: self._kept_relocations(".rela.dyn"),
            DT_JMPREL: self._kept_relocations(".rela.plt"),
            DT_RELR: _relr(relative),
        }
        for tag, value in DYNAMIC.iter_unpack(self.old.raw(".dynamic")):
            if tag in (DT_NEEDED, DT_SONAME):
                self.strings.add(self.old.name(value))
        return {**tables, DT_STRTAB: bytes(self.strings.content)}

    def _hash_table(self) -> bytes:
        """A Bloom filter that accepts every name, the buckets, and the hashes; a bit marks the last one of a bucket."""
        hashes = [self._hash(index) for index in self.exports]
        buckets = [0] * self.buckets
        chain = []
        for place, value in enumerate(hashes):
            bucket = value % self.buckets
            buckets[bucket] = buckets[bucket] or self.first_export + place
            last = place + 1 == len(hashes) or hashes[place + 1] % self.buckets != bucket
            chain.append(value & ~1 | last)
        header = struct.pack("<4IQ", self.buckets, self.first_export, 1, 0, (1 << 64) - 1)
        return header + struct.pack(f"<{self.buckets + len(chain)}I", *buckets, *chain)

    def _kept_relocations(self, section: str) -> bytes:
        return b"".join(
            RELOCATION.pack(address, self.new_index[symbol] << 32 | kind, addend)
            for address, kind, symbol, addend in self.old.relocations(section)
            if kind != R_RELATIVE and symbol in self.new_index
        )

    def _version_needs(self) -> bytes:
        needs = dict(self.old.needs())
        if LIBC not in needs:
            raise BuildError(f"the library does not need {LIBC}: it can't be trimmed")
        highest = max(index for versions in needs.values() for _, _, index, _ in versions)
        needs[LIBC] = [*needs[LIBC], (_version_hash(RELR_VERSION), 0, highest + 1, RELR_VERSION)]
        out = b""
        for number, (file, versions) in enumerate(needs.items(), 1):
            step = NEED.size + NEED_AUX.size * len(versions)
            out += NEED.pack(1, len(versions), self.strings.add(file), NEED.size, step if number < len(needs) else 0)
            for place, (digest, flags, index, name) in enumerate(versions, 1):
                following = NEED_AUX.size if place < len(versions) else 0
                out += NEED_AUX.pack(digest, flags, index, self.strings.add(name), following)
        return out

    def _write_dynamic(self, body: bytearray, tables: Mapping[int, bytes], addresses: Mapping[int, int]) -> None:
        sizes = {DT_RELASZ: DT_RELA, DT_PLTRELSZ: DT_JMPREL, DT_STRSZ: DT_STRTAB}
        entries = []
        for tag, value in DYNAMIC.iter_unpack(self.old.raw(".dynamic")):
            if tag in addresses:
                entries.append((tag, addresses[tag]))
            elif tag in sizes:
                entries.append((tag, len(tables[sizes[tag]])))
            elif tag in (DT_NEEDED, DT_SONAME):
                entries.append((tag, self.strings.add(self.old.name(value))))
            elif tag not in (DT_RELACOUNT, DT_NULL):
                entries.append((tag, value))
        entries += [(DT_RELR, addresses[DT_RELR]), (DT_RELRSZ, len(tables[DT_RELR])), (DT_RELRENT, WORD_BYTES)]
        written = b"".join(DYNAMIC.pack(*entry) for entry in entries)
        room = len(self.old.raw(".dynamic"))
        if len(written) + DYNAMIC.size > room:
            raise BuildError("the dynamic section has no room for RELR: this library can't be trimmed")
        section: Any = self.old.elf.get_section_by_name(".dynamic")
        body[section["sh_offset"] : section["sh_offset"] + room] = written.ljust(room, b"\0")

    def _assemble(self, head: bytearray, body: bytearray) -> bytes:
        """The file with the new tables. The rest moves up by whole pages in the file; its addresses stay the same."""
        first, *others = self._loads()
        head_end = len(head)
        head += bytes(-len(head) % PAGE_BYTES)
        moved = others[0][2] - len(head)
        table = self.old.elf.header["e_phoff"]
        for number in range(self.old.elf.header["e_phnum"]):
            place = table + number * SEGMENT.size
            segment = list(SEGMENT.unpack_from(head, place))
            if tuple(segment) == first:
                segment[5] = segment[6] = head_end
            elif segment[2] >= others[0][2]:
                segment[2] -= moved
            SEGMENT.pack_into(head, place, *segment)
        struct.pack_into("<Q", head, SECTION_TABLE_OFFSET, 0)
        struct.pack_into("<3H", head, SECTION_COUNTS_OFFSET, 0, 0, 0)
        end = max(offset + size for _, _, offset, _, _, size, *_ in others)
        return bytes(head + body[others[0][2] : end])

    def _loads(self) -> list[tuple[int, ...]]:
        raw, table = self.old.content, self.old.elf.header["e_phoff"]
        segments = (SEGMENT.unpack_from(raw, table + i * SEGMENT.size) for i in range(self.old.elf.header["e_phnum"]))
        return [segment for segment in segments if segment[0] == PT_LOAD]

    def _start_of_tables(self) -> int:
        """The offset of the first table. After it, the first segment must contain only tables."""
        first = self._loads()[0]
        sections = [section for section in self.old.elf.iter_sections() if section["sh_size"] and section["sh_addr"]]
        start: int = next(section["sh_offset"] for section in sections if section.name == TABLES[0])
        inside = [section.name for section in sections if start <= section["sh_offset"] < first[5]]
        if first[2] or first[3] or set(inside) != set(TABLES):
            raise BuildError(f"the first segment holds {', '.join(inside)}: this library can't be trimmed")
        return start

    def _file_offset(self, address: int) -> int:
        for _, _, offset, start, _, size, *_ in self._loads():
            if start <= address < start + size:
                return offset + address - start
        raise BuildError(f"address {address:#x} is not in the file: this library can't be trimmed")


def _relr(addresses: Sequence[int]) -> bytes:
    """Pack ascending addresses (RELR): an address, then bitmaps of the words that follow it."""
    words, place = [], 0
    while place < len(addresses):
        words.append(addresses[place])
        base, place = addresses[place] + WORD_BYTES, place + 1
        while True:
            bits = 0
            while place < len(addresses) and addresses[place] < base + RELR_BITS * WORD_BYTES:
                bits |= 1 << (addresses[place] - base) // WORD_BYTES
                place += 1
            if not bits:
                break
            words.append(bits << 1 | 1)
            base += RELR_BITS * WORD_BYTES
    return struct.pack(f"<{len(words)}Q", *words)


def _version_hash(name: str) -> int:
    """The hash function of the System V ABI, used for version names."""
    value = 0
    for byte in name.encode():
        value = (value << 4) + byte
        high = value & 0xF0000000
        value = (value ^ high >> 24) & ~high & 0xFFFFFFFF
    return value
