"""What Firecracker says of its memory is read as foreign data."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornet.errors import VMError
from hornet.vmm.firecracker.page_faults import Region, parse_regions

FILE_BYTES = 1 << 20
GOOD: dict[str, object] = {"base_host_virt_addr": 4096, "size": FILE_BYTES, "offset": 0, "page_size": 4096}


@pytest.mark.parametrize(
    ("change", "page_size"), [({}, 4096), ({"page_size": None, "page_size_kib": 4096}, 4096), ({"page_size": 1}, 1)]
)
def test_regions_are_read(change: dict[str, object], page_size: int) -> None:
    text = json.dumps([GOOD | change]).encode()
    assert parse_regions(text, FILE_BYTES) == [Region(4096, FILE_BYTES, 0, page_size)]


BAD: dict[str, dict[str, object]] = {
    "outside the file": {"offset": 1},
    "negative offset": {"offset": -1},
    "negative address": {"base_host_virt_addr": -1},
    "empty": {"size": 0},
    "no page": {"page_size": 0, "page_size_kib": 0},
    "a word": {"size": "many"},
}


@pytest.mark.parametrize("name", BAD)
def test_wrong_region_is_rejected(name: str) -> None:
    with pytest.raises(VMError, match="Firecracker described"):
        parse_regions(json.dumps([GOOD | BAD[name]]).encode(), FILE_BYTES)


def test_nested_answer_is_rejected() -> None:
    with pytest.raises(VMError, match="expected a list of regions"):
        parse_regions(b"[" * 60_000, FILE_BYTES)


@given(st.binary(max_size=200))
def test_any_bytes_are_regions_or_an_error(text: bytes) -> None:
    try:
        assert parse_regions(text, FILE_BYTES) == []
    except VMError:
        pass
