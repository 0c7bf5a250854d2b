"""What Firecracker says of its memory is read as foreign data."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornet.errors import VMError
from hornet.vmm.firecracker.page_faults import PageFaultServer, Region, parse_regions

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


@contextmanager
def serving(directory: Path) -> Iterator[tuple[socket.socket, threading.Event, list[str]]]:
    """A server for one page, a connection to it, and what it reports when it gives up."""
    problems: list[str] = []
    reported = threading.Event()

    def report(problem: str) -> None:
        problems.append(problem)
        reported.set()

    (directory / "memory").write_bytes(bytes(4096))
    with (directory / "memory").open("rb") as memory:
        server = PageFaultServer(directory, "pages.sock", memory, report)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(str(directory / "pages.sock"))
            yield connection, reported, problems
        server.close()


@pytest.mark.parametrize("text", [b"[]", b"hello"])
def test_firecracker_that_sends_no_descriptor_is_reported(text: bytes, tmp_path: Path) -> None:
    with serving(tmp_path) as (connection, reported, problems):
        connection.sendall(text)
        assert reported.wait(20)
        assert problems == ["Firecracker sent no userfaultfd"]


def test_wrong_regions_are_reported(tmp_path: Path) -> None:
    with serving(tmp_path) as (connection, reported, problems), (tmp_path / "memory").open("rb") as file:
        socket.send_fds(connection, [json.dumps([GOOD]).encode()], [file.fileno()])
        assert reported.wait(20)
        assert "not in the memory file of 4096 bytes" in problems[0]


def test_server_that_nobody_connects_to_ends(tmp_path: Path) -> None:
    problems: list[str] = []
    (tmp_path / "memory").write_bytes(bytes(4096))
    with (tmp_path / "memory").open("rb") as memory:
        PageFaultServer(tmp_path, "pages.sock", memory, problems.append).close()
    assert problems == []
