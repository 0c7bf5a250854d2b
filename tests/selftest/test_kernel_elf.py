"""The vmlinux file: stripped of padding and nothing else, refused if no loader takes it."""

from __future__ import annotations

from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import example, given, settings
from hypothesis import strategies as st

from builders.kernel.elf import PADDING_MIN_BYTES, check_loadable, strip_padding
from hornet.errors import BuildError
from tests.support.kernel_samples import Load, Sample

chunks = st.one_of(
    st.binary(min_size=1, max_size=40),
    st.integers(1, 3 * PADDING_MIN_BYTES).map(bytes),
    st.integers(1, 3 * PADDING_MIN_BYTES).map(lambda size: b"\xcc" * size),
)
contents = st.lists(chunks, max_size=6).map(b"".join)


def memory_of(path: Path) -> dict[int, bytes]:
    """What a loader puts into memory: address → the bytes of a stretch without gaps; int3 padding as zeros."""
    stretches: dict[int, bytes] = {}
    with path.open("rb") as stream:
        for load in ELFFile(stream).iter_segments("PT_LOAD"):
            data = load.data() + bytes(load["p_memsz"] - load["p_filesz"])
            before = next((a for a, d in stretches.items() if a + len(d) == load["p_paddr"]), None)
            if before is None:
                stretches[load["p_paddr"]] = data
            else:
                stretches[before] += data
    return stretches


@settings(deadline=None)
@example(bytes(3663) + b"\xcc" * PADDING_MIN_BYTES + bytes(433), b"", 0)
@given(contents, contents, st.integers(0, 3 * PADDING_MIN_BYTES))
def test_stripping_keeps_what_is_loaded(
    tmp_path_factory: pytest.TempPathFactory, a: bytes, b: bytes, zeros: int
) -> None:
    directory = tmp_path_factory.mktemp("elf")
    loads = (Load(0x1000000, b"\x90" * 32 + a), Load(0x2000000, b"data" + b, zeros, flags=6))
    original = Sample(loads).write(directory / "original")
    strip_padding(original, directory / "stripped")
    check_loadable(directory / "stripped")
    before, after = memory_of(original), memory_of(directory / "stripped")
    assert before.keys() == after.keys()
    assert after[0x2000000] == before[0x2000000], "int3 outside of code is data"
    for found, expected in zip(after[0x1000000], before[0x1000000], strict=True):
        assert found == expected or (expected, found) == (0xCC, 0)
    no_run = bytes(PADDING_MIN_BYTES)
    # Within a segment: the end of one and the beginning of the next may make a run that nothing can be done about.
    with (directory / "stripped").open("rb") as stream:
        assert all(no_run not in load.data() for load in ELFFile(stream).iter_segments("PT_LOAD"))


def test_a_sound_kernel_is_described(tmp_path: Path) -> None:
    found = check_loadable(Sample().write(tmp_path / "vmlinux"))
    assert (found.entry, found.pvh_entry, found.segments, found.end) == (0x1000000, 0x1000010, 1, 0x1000040)


def test_the_entry_point_may_lie_in_a_data_segment(tmp_path: Path) -> None:
    """As in Linux 7.3."""
    found = check_loadable(Sample((Load(0x1000000, b"\x90" * 64, flags=6),)).write(tmp_path / "vmlinux"))
    assert found.entry == 0x1000000


CODE = Load(0x1000000, b"\x90" * 64)
BROKEN = {
    "32 bits are refused by the parser": (Sample(elf_class=1), "not a valid ELF|class is 32"),
    "another processor": (Sample(machine=183), "machine is 183, expected 62"),
    "position independent": (Sample(elf_type=3), "type is 3, expected 2"),
    "nothing to load": (Sample(loads=()), "no PT_LOAD"),
    "below 1 MiB": (Sample((Load(0x80000, b"\x90" * 64),), entry=0x80000), "below 0x100000"),
    "overlap": (Sample((CODE, Load(0x1000020, b"x" * 64))), "overlaps"),
    "more in the file than in memory": (Sample((Load(0x1000000, b"\x90" * 64, file_bytes=65),)), "only 64 in memory"),
    "entry outside": (Sample(entry=0x3000000), "entry point 0x3000000"),
    "entry in zeros": (Sample((Load(0x1000000, b"\x90" * 64, zeros=64),), entry=0x1000040), "entry point 0x1000040"),
    "no PVH note": (Sample(pvh_entry=None), "no PVH note"),
    "a note that loaders misread": (Sample(note_align=1), "no PVH note"),
    "PVH entry outside": (Sample(pvh_entry=0x10), "PVH entry point 0x10"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_unloadable_kernel_is_rejected(name: str, tmp_path: Path) -> None:
    sample, words = BROKEN[name]
    with pytest.raises(BuildError, match=words):
        check_loadable(sample.write(tmp_path / "vmlinux"))


def test_truncated_kernel_is_rejected(tmp_path: Path) -> None:
    whole = Sample((Load(0x1000000, b"\x90" * 9000),)).write(tmp_path / "vmlinux")
    strip_padding(whole, tmp_path / "stripped")
    (tmp_path / "cut").write_bytes((tmp_path / "stripped").read_bytes()[:5000])
    with pytest.raises(BuildError, match="cut off"):
        check_loadable(tmp_path / "cut")


@pytest.mark.parametrize("data", [b"", b"hello", b"\x7fELF", b"\x7fELF\x02\x01\x01" + bytes(60)])
def test_non_elf_kernel_is_rejected(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(BuildError, match=r"not a valid ELF file|no PT_LOAD"):
        check_loadable(tmp_path / "file")


def test_non_elf_file_is_not_stripped(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"hello")
    with pytest.raises(BuildError, match="not a valid ELF file"):
        strip_padding(tmp_path / "file", tmp_path / "out")
    assert not (tmp_path / "out").exists()
