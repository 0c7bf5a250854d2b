"""The console: the same text and the same matches whatever the chunks, bounded memory and files, no quadratic cost."""

from __future__ import annotations

import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hornet.errors import VMError
from hornet.vmm.console import LINE_CHARS, OVERLAP_CHARS, Console
from hornet.vmm.failure import FailureSignal, VMFailedError
from hornet.vmm.transcript import (
    FILE_HEAD_BYTES,
    FILE_MAX_BYTES,
    FILE_TAIL_BYTES,
    HEAD_CHARS,
    TAIL_CHARS,
    BoundedFile,
    Transcript,
)

TIMEOUT_S = 20
WAITED_FOR = "hornetos: ready 7"
PANIC_LINE = "[    1.2] Kernel panic - not syncing: Attempted to kill init!"


@contextmanager
def console_and_guest(directory: Path) -> Iterator[tuple[Console, socket.socket]]:
    ours, guests = socket.socketpair()
    console = Console(directory / "console.log", ours, FailureSignal("vm1"))
    with guests:
        yield console, guests
    console.close()


def printed(data: bytes, sizes: list[int], *, then: Callable[[Console], object] = str) -> tuple[str, object]:
    """The text of a console on which `data` was printed in chunks of these sizes, again and again; then(console)."""
    with TemporaryDirectory() as directory, console_and_guest(Path(directory)) as (console, guest):
        rest, turn = data, 0
        while rest:
            size = sizes[turn % len(sizes)]
            guest.sendall(rest[:size])
            rest, turn = rest[size:], turn + 1
        guest.shutdown(socket.SHUT_WR)
        console._thread.join(TIMEOUT_S)
        return console.text, then(console)


chunk_sizes = st.lists(st.integers(1, 3000), min_size=1, max_size=8)
# Bytes of all kinds, with what is cut in the middle most harmfully.
pieces = st.one_of(st.binary(max_size=50), st.sampled_from(["€".encode(), "🐝".encode(), b"\r\n", b"\n", b"x" * 5000]))


@settings(deadline=None)
@given(st.lists(pieces, max_size=20).map(b"".join), chunk_sizes)
def test_text_does_not_depend_on_the_chunks(data: bytes, sizes: list[int]) -> None:
    text, _ = printed(data, sizes)
    assert text == data.decode("utf-8", "replace").replace("\r", "")


@settings(deadline=None)
@given(
    st.lists(pieces, max_size=20).map(b"".join),
    st.lists(pieces, max_size=20).map(b"".join),
    chunk_sizes,
    st.sampled_from(["^", ""]),
)
def test_lines_are_found_whatever_the_chunks(before: bytes, after: bytes, sizes: list[int], anchor: str) -> None:
    data = before + (b"\n" if anchor else b"") + WAITED_FOR.encode() + b"\n" + after
    with TemporaryDirectory() as directory, console_and_guest(Path(directory)) as (console, guest):
        found: list[re.Match[str]] = []
        waiting = threading.Thread(target=lambda: found.append(console.wait_for(anchor + WAITED_FOR, TIMEOUT_S)))
        waiting.start()
        for begin in range(0, len(data), sizes[0]):
            guest.sendall(data[begin : begin + sizes[0]])
        waiting.join(TIMEOUT_S)
        assert found
        assert console.wait_for(anchor + WAITED_FOR, 0), "what is kept is searched as well"


def test_a_line_without_end_is_searched_across_its_parts() -> None:
    for place in range(LINE_CHARS - 20, LINE_CHARS + OVERLAP_CHARS, 7):
        data = b"x" * place + WAITED_FOR.encode() + b"x" * 2 * LINE_CHARS
        with TemporaryDirectory() as directory, console_and_guest(Path(directory)) as (console, guest):
            with pytest.raises(VMError, match="timed out"):
                console.wait_for(f"^{WAITED_FOR}", 0)
            wait = threading.Thread(target=lambda console=console: console.wait_for(WAITED_FOR, TIMEOUT_S))
            wait.start()
            for begin in range(0, len(data), 1000):
                guest.sendall(data[begin : begin + 1000])
            wait.join(TIMEOUT_S)
            assert not wait.is_alive()


def test_anchored_pattern_ignores_the_middle_of_a_line(tmp_path: Path) -> None:
    with console_and_guest(tmp_path) as (console, guest):
        for _ in range(3 * LINE_CHARS // 1000):
            guest.sendall(b"x" * 1000)
        with pytest.raises(VMError, match="timed out"):
            console.wait_for("^x$", 0.2)


def flood(guest: socket.socket, size: int) -> int:
    """Print that much at least; returns how much it was."""
    block = b"flood flood flood flood flood flood flood flood flood flood\n" * 1000
    times = size // len(block) + 1
    for _ in range(times):
        guest.sendall(block)
    return times * len(block)


def test_flood_is_truncated_with_a_notice_and_keeps_its_panic(tmp_path: Path) -> None:
    with console_and_guest(tmp_path) as (console, guest):
        begin, end = f"first words\n{PANIC_LINE}\n", "last words\n"
        guest.sendall(begin.encode())
        flood_bytes = flood(guest, 3 * FILE_MAX_BYTES)
        guest.sendall(end.encode())
        guest.shutdown(socket.SHUT_WR)
        console._thread.join(TIMEOUT_S)
        text, log = console.text, console.path.read_text()
        assert console.panic == PANIC_LINE.split("] ")[1]
    for kept, most in ((text, HEAD_CHARS + TAIL_CHARS), (log, FILE_MAX_BYTES)):
        assert kept.startswith("first words\n")
        assert kept.endswith("\nlast words\n")
        notice = re.search(r"\n\[hornetos: (\d+) (characters|bytes) cut here\]\n", kept)
        assert notice
        assert len(kept) - len(notice[0]) + int(notice[1]) == len(begin) + flood_bytes + len(end)
        assert len(kept) <= most + 100


def test_line_inside_a_flood_is_found(tmp_path: Path) -> None:
    with console_and_guest(tmp_path) as (console, guest):
        found: list[re.Match[str]] = []
        waiting = threading.Thread(target=lambda: found.append(console.wait_for(WAITED_FOR, TIMEOUT_S)))
        waiting.start()
        flood(guest, HEAD_CHARS)
        guest.sendall(f"{WAITED_FOR}\n".encode())
        flood(guest, 4 * TAIL_CHARS)
        waiting.join(TIMEOUT_S)
        assert found
        assert WAITED_FOR not in console.text


@settings(deadline=None)
@given(st.lists(st.text(max_size=40), max_size=60), st.integers(0, 50), st.integers(1, 50))
def test_a_transcript_keeps_head_and_tail(added: list[str], head: int, tail: int) -> None:
    transcript = Transcript(head, tail)
    for text in added:
        transcript.add(text)
    whole = "".join(added)
    assert transcript.cut_chars == max(0, len(whole) - head - tail)
    if transcript.cut_chars:
        assert transcript.parts() == (whole[:head], whole[-tail:])
        assert f"[hornetos: {transcript.cut_chars} characters cut here]" in str(transcript)
    else:
        assert str(transcript) == whole


@settings(deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=40))
def test_a_file_keeps_head_and_tail_and_its_limit(written: list[bytes]) -> None:
    with TemporaryDirectory() as directory:
        file = BoundedFile(Path(directory, "log"), head=100, tail=200, limit=600)
        whole = b""
        for data in written:
            file.write(data)
            whole += data
            kept = file.path.read_bytes()
            assert len(kept) <= 600
            assert kept[:100] == whole[:100]
            assert kept.endswith(whole[-200:])
            notice = re.search(rb"\n\[hornetos: (\d+) bytes cut here\]\n", kept)
            assert notice or kept == whole
            if notice:
                assert len(kept) - len(notice[0]) + int(notice[1]) == len(whole)
        file.close()


def test_a_full_disk_ends_the_file_and_not_the_console(tmp_path: Path) -> None:
    with console_and_guest(tmp_path) as (console, guest), Path("/dev/full").open("wb") as full:
        os.dup2(full.fileno(), console._file._file.fileno())
        guest.sendall(f"{WAITED_FOR}\n".encode())
        assert console.wait_for(WAITED_FOR, TIMEOUT_S)


def test_panic_ends_every_wait(tmp_path: Path) -> None:
    with console_and_guest(tmp_path) as (console, guest):
        errors: list[VMError] = []

        def wait() -> None:
            try:
                console.wait_for(WAITED_FOR, TIMEOUT_S)
            except VMError as error:
                errors.append(error)

        threads = [threading.Thread(target=wait) for _ in range(3)]
        for thread in threads:
            thread.start()
        guest.sendall(f"{PANIC_LINE}\n".encode())
        for thread in threads:
            thread.join(TIMEOUT_S)
        assert [type(error) for error in errors] == [VMFailedError] * 3
        assert "Attempted to kill init" in errors[0].message


def test_file_constants_leave_room() -> None:
    assert FILE_HEAD_BYTES + FILE_TAIL_BYTES < FILE_MAX_BYTES


def test_silence_is_waited_for(tmp_path: Path) -> None:
    with console_and_guest(tmp_path) as (console, guest):
        console.wait_quiet(0.05, TIMEOUT_S)
        stop = threading.Event()

        def print_on() -> None:
            while not stop.is_set():
                guest.sendall(b"x\n")

        printing = threading.Thread(target=print_on)
        printing.start()
        with pytest.raises(VMError, match=r"printed without a pause of 5 s for 0\.2 s"):
            console.wait_quiet(5, 0.2)
        stop.set()
        printing.join()
        console.wait_quiet(0.05, TIMEOUT_S)


def test_silence_of_a_failed_vm_is_an_error(tmp_path: Path) -> None:
    with console_and_guest(tmp_path) as (console, _):
        console._failure.set("was removed")
        with pytest.raises(VMFailedError, match="waiting for silence"):
            console.wait_quiet(0.05, TIMEOUT_S)
