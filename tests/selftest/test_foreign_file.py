"""Files from elsewhere: whatever lies in the place of one is refused at once, in one sentence that names it."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import socket
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.kernel.elf import check_loadable
from hornet.errors import HornetError
from hornet.foreign_file import (
    MAX_DEPTH,
    ForeignFileError,
    MissingFileError,
    parse_json,
    parse_toml,
    read_bytes,
    read_text,
)
from hornet.formats.elf import read_linkage
from hornet.formats.ext4.superblock import read_superblock
from hornet.formats.ext4.verdict import judge_ext4
from hornet.formats.kconfig import MAX_CONFIG_BYTES, MAX_KERNEL_BYTES, extract_config, read_config
from hornet.results.benchmarks import read_benchmarks
from hornet.results.policy import read_policy
from hornet.results.records import read_records
from hornet.results.run_info import read_run_info
from hornet.results.waivers import read_waivers
from hornet.snapshot.manifest import Manifest
from hornet.spec.model import load_spec
from hornet.spec.requirements import read_requirements
from hornet.vm.guest import read_public_key, read_ssh_key
from hornet.vm.state import read_state
from tests.support.kernel_samples import pack_bzimage

MIB = 1 << 20
SPARSE_BYTES = 8 << 40
# Far above what any of them needs, far below what an endless file would take.
MEMORY_LIMIT_BYTES = 64 * MIB

pytestmark = pytest.mark.timeout(60)


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    bound = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's name is short
    try:
        bound.bind(path.name)
    finally:
        os.chdir(here)
        bound.close()


def a_sparse_file(path: Path) -> None:
    with path.open("wb") as stream:
        stream.truncate(SPARSE_BYTES)


def noise(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 40)


IN_ITS_PLACE: dict[str, tuple[Callable[[Path], None], str]] = {
    "nothing": (lambda _: None, "no such file"),
    "a directory": (lambda path: path.mkdir(), "a directory"),
    "a pipe": (a_pipe, "a pipe"),
    "a socket": (a_socket, "a socket"),
    "an endless device": (lambda path: path.symlink_to("/dev/zero"), "a character device|a symbolic link"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "symbolic link"),
    "terabytes of holes": (a_sparse_file, "at most|hold"),
    "noise": (noise, "."),
    "an empty file": (lambda path: path.touch(), "."),
}
READERS: dict[str, Callable[[Path], object]] = {
    "a configuration": read_config,
    "a kernel": check_loadable,
    "a superblock": read_superblock,
    "an image": lambda path: judge_ext4(path, path.parent),
    "a spec": load_spec,
    "an overlay": lambda path: load_spec(overlays=[path]),
    "requirements": read_requirements,
    "how a run was made": read_run_info,
    "waivers": read_waivers,
    "a policy": read_policy,
    "a state file": read_state,
    "benchmarks": read_benchmarks,
    "a private key": read_ssh_key,
    "a public key": read_public_key,
}
ACCEPTS = {(what, "an empty file") for what in ("requirements", "an overlay", "waivers", "a policy")}


@pytest.mark.parametrize("place", IN_ITS_PLACE)
@pytest.mark.parametrize("reader", READERS)
def test_each_reader_rejects_other_kinds_of_files(reader: str, place: str, tmp_path: Path) -> None:
    path = tmp_path / "given-by-a-user"
    make, words = IN_ITS_PLACE[place]
    make(path)
    tracemalloc.start()
    try:
        if (reader, place) in ACCEPTS:
            READERS[reader](path)
            return
        with pytest.raises(HornetError, match=words) as caught:
            READERS[reader](path)
        assert tracemalloc.get_traced_memory()[1] < MEMORY_LIMIT_BYTES
    finally:
        tracemalloc.stop()
    assert path.name in caught.value.message
    assert len(caught.value.message.splitlines()) <= 21, "of a list of wrong keys, the first twenty"


@pytest.mark.parametrize("place", IN_ITS_PLACE)
def test_manifest_that_is_not_a_file_is_rejected(place: str, tmp_path: Path) -> None:
    make, _ = IN_ITS_PLACE[place]
    make(tmp_path / "manifest.json")
    with pytest.raises(HornetError, match=r"manifest\.json: "):
        Manifest.read(tmp_path)


@pytest.mark.parametrize("place", [place for place in IN_ITS_PLACE if place not in ("noise", "an empty file")])
def test_records_that_are_not_a_file_are_rejected(place: str, tmp_path: Path) -> None:
    make, words = IN_ITS_PLACE[place]
    make(tmp_path / "records.jsonl")
    with pytest.raises(HornetError, match=words):
        read_records(tmp_path / "records.jsonl")


@pytest.mark.parametrize("place", [place for place in IN_ITS_PLACE if place != "terabytes of holes"])
def test_nothing_but_a_regular_elf_file_has_a_linkage(place: str, tmp_path: Path) -> None:
    make, _ = IN_ITS_PLACE[place]
    make(tmp_path / "program")
    assert read_linkage(tmp_path / "program") is None


def test_a_file_that_holds_more_than_it_says_is_cut(tmp_path: Path) -> None:
    assert Path("/proc/self/maps").stat().st_size == 0
    with pytest.raises(ForeignFileError, match="more bytes than its size"):
        read_bytes(Path("/proc/self/maps"), 20)
    version = Path("/proc/version")
    size_bytes = len(version.read_bytes())
    assert len(read_bytes(version, size_bytes)) == size_bytes
    with pytest.raises(ForeignFileError, match="more bytes than its size"):
        read_bytes(version, size_bytes - 1)


def test_size_limit_is_inclusive_and_links_can_be_rejected(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("ä" * 5)
    (tmp_path / "link").symlink_to("file")
    assert read_text(tmp_path / "link", 10) == "ä" * 5
    with pytest.raises(ForeignFileError, match="at most 9"):
        read_text(tmp_path / "file", 9)
    with pytest.raises(ForeignFileError, match="a symbolic link"):
        read_text(tmp_path / "link", 10, follow_links=False)


def test_impossible_path_is_rejected() -> None:
    with pytest.raises(ForeignFileError, match="cannot be read"):
        read_bytes(Path("a" * 5000), 10)
    with pytest.raises(ForeignFileError, match="null byte"):
        read_bytes(Path("a\0b"), 10)
    with pytest.raises(MissingFileError):
        read_bytes(Path("/nowhere/file"), 10)


# --- what unpacks to more than it is ---------------------------------------------------------------------------------

BOMB_BYTES = 100 * MIB
BOMBS = {
    "config.gz": lambda: gzip.compress(bytes(BOMB_BYTES)),
    "IKCONFIG": lambda: b"\x7fELF" + bytes(100) + b"IKCFG_ST" + gzip.compress(bytes(BOMB_BYTES)),
    "bzImage, gzip": lambda: pack_bzimage(bytes(BOMB_BYTES), gzip.compress),
    "bzImage, bzip2": lambda: pack_bzimage(bytes(BOMB_BYTES), bz2.compress),
    "bzImage, xz": lambda: pack_bzimage(bytes(BOMB_BYTES), lambda data: lzma.compress(data, preset=1)),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_compression_bomb_costs_no_memory(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(BOMBS[name]())
    tracemalloc.start()
    try:
        refused = pytest.raises(HornetError, match=f"more than {MAX_CONFIG_BYTES}|without its configuration")
        with (tmp_path / "file").open("rb") as stream, refused:
            extract_config(stream)
        assert tracemalloc.get_traced_memory()[1] < MEMORY_LIMIT_BYTES
    finally:
        tracemalloc.stop()


def test_oversized_decompressed_kernel_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hornet.formats.packed.MAX_UNPACKED_BYTES", 3 * MIB)
    (tmp_path / "file").write_bytes(pack_bzimage(bytes(4 * MIB), gzip.compress))
    refused = pytest.raises(HornetError, match=f"unpacks to more than {3 * MIB}")
    with (tmp_path / "file").open("rb") as stream, refused:
        extract_config(stream)
    assert MAX_KERNEL_BYTES > 3 * MIB


def test_huge_decompression_dictionary_is_rejected(tmp_path: Path) -> None:
    def pack(data: bytes) -> bytes:
        packed = bytearray(lzma.compress(data, lzma.FORMAT_ALONE, preset=0))
        packed[1:5] = (0xFFFFFFFF).to_bytes(4, "little")
        return bytes(packed[:1]) + b"\0\0" + bytes(packed[3:])  # the magic that bzImages of lzma have

    (tmp_path / "file").write_bytes(pack_bzimage(bytes(1000), pack))
    with pytest.raises(HornetError, match=r"[Mm]emory|damaged"):
        read_config(tmp_path / "file")


# --- JSON and TOML ---------------------------------------------------------------------------------------------------

DEEP = 100_000
ODD_JSON = {
    "deep nesting": (b"[" * DEEP + b"]" * DEEP, f"more than {MAX_DEPTH} levels"),
    "one level too deep": (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), f"more than {MAX_DEPTH} levels"),
    "deep nesting in objects": (b'{"a":' * DEEP + b"1" + b"}" * DEEP, f"more than {MAX_DEPTH} levels"),
    "thousands of digits": (b"1" * 5000, "4300 digits"),
    "a number of 65 bits": (str(1 << 64).encode(), "65 bits"),
    "NaN": (b'{"a": NaN}', "NaN is not a number"),
    "infinity": (b"[-Infinity]", "-Infinity is not a number"),
    "an overflow": (b"[1e999]", "out of range"),
    "a name given twice": (b'{"a": 1, "a": 2}', "'a' occurs twice"),
    "half a surrogate pair": (b'["\\ud800"]', "surrogates not allowed"),
    "half a surrogate pair as a name": (b'{"\\udfff": 1}', "surrogates not allowed"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "not UTF-8: byte 0xff at offset 0"),
    "a byte order mark": (b"\xef\xbb\xbf{}", "BOM"),
    "a zero byte": (b"{}\0", "Extra data"),
    "nothing": (b"", "not valid JSON"),
}


@pytest.mark.parametrize("name", ODD_JSON)
def test_ambiguous_or_oversized_json_is_rejected(name: str) -> None:
    data, words = ODD_JSON[name]
    with pytest.raises(ForeignFileError, match=words):
        parse_json(data)


ODD_TOML = {
    "deep lists": (b"a = " + b"[" * DEEP + b"]" * DEEP, "4096|levels"),
    "deep lists over lines": (b"a = " + b"[\n" * DEEP + b"]\n" * DEEP, "levels"),
    "deep keys": (b".".join([b"a"] * (MAX_DEPTH + 1)) + b" = 1", "levels"),
    "a long line": (b"a = '" + b"x" * 5000 + b"'", "line 1: 5006 characters"),
    "thousands of digits": (b"a = 1" + b"_111" * 1000 + b"0" * 95, "4096|digits"),
    "a number of 4,000 hexadecimal digits": (b"a = 0x1" + b"f" * 4000, "bits"),
    "a date that is none": (b"a = 2026-02-30", "not valid TOML"),
    "not UTF-8": (b"a = '\xff'", "not UTF-8: byte 0xff at offset 5"),
    "a zero byte": (b"a = '\0'", "not valid TOML"),
    "a key given twice": (b"a = 1\na = 2", "not valid TOML"),
}


@pytest.mark.parametrize("name", ODD_TOML)
def test_ambiguous_or_oversized_toml_is_rejected(name: str) -> None:
    data, words = ODD_TOML[name]
    with pytest.raises(ForeignFileError, match=words):
        parse_toml(data)


def test_pathological_toml_is_read_in_bounded_time() -> None:
    header = b"[" + b".".join([b"a"] * 2000) + b"]\n"
    with pytest.raises(ForeignFileError, match=r"line 1: .*levels"):
        parse_toml(header + b"".join(b"k%d=1\n" % n for n in range(25_000)))


@pytest.mark.parametrize("key", ["a.%s", "[a.%s]", "[[ 'x' . %s]]", '"a\\"".%s', "  a . %s"])
def test_deeply_dotted_toml_keys_are_rejected(key: str) -> None:
    with pytest.raises(ForeignFileError, match=r"line 1: .*levels"):
        parse_toml((key % ".".join(["b"] * MAX_DEPTH)).encode())


def test_dots_in_values_are_not_keys() -> None:
    dots = "1.2.3.4 " * 100
    text = f'a = "{dots}"\nb = [\n"{dots}",\n"{dots}"]\nc = """\n{dots}\n..........\n"""\n'
    assert parse_toml(text.encode())["b"] == [dots, dots]


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_json_of_ordinary_values_is_read_as_it_is(value: Any) -> None:
    assert parse_json(json.dumps(value).encode()) == value
