"""The minimal client speaks QMP and ends in bounded time, and an overhead that is too large is found."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from hornet.errors import VMError
from hornet.results.overhead import overhead_problem
from hornet.spec.model import load_spec
from hornet.vmm.qemu import raw_client
from hornet.vmm.qemu.raw_client import RawQmp

PERF = load_spec().perf
RAW_MS = [2.0, 1.9, 2.1]
GREETING: dict[str, Any] = {"QMP": {}}
ANSWER: dict[str, Any] = {"return": {}}


def status(name: str) -> dict[str, Any]:
    return {"event": "MIGRATION", "data": {"status": name}}


@contextmanager
def stand_in(*lines: dict[str, Any], ends: bool = False) -> Iterator[socket.socket]:
    """A stand-in for QEMU that sends these lines and ignores its input. tests/perf uses a real QEMU."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"".join(json.dumps(line).encode() + b"\r\n" for line in lines))
        if ends:
            theirs.shutdown(socket.SHUT_WR)
        reader = threading.Thread(target=lambda: iter(lambda: theirs.recv(1 << 16), b""), daemon=True)
        reader.start()
        yield ours


def test_a_load_ends_with_its_event() -> None:
    with stand_in(GREETING, ANSWER, ANSWER, status("active"), ANSWER, status("completed")) as connection:
        RawQmp(connection).load(7)


BAD = {
    "a load that fails": ([ANSWER, ANSWER, status("failed")], False, "does not load"),
    "a command that is refused": ([{"error": {"desc": "no such thing"}}], False, "no such thing"),
    "a QEMU that ends": ([ANSWER], True, "it ended"),
    "a QEMU that says nothing": ([ANSWER, status("active")], False, "no answer within"),
}


@pytest.mark.parametrize(("lines", "ends", "says"), BAD.values(), ids=BAD)
def test_a_load_without_its_event_fails(
    lines: list[dict[str, Any]], ends: bool, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw_client, "TIMEOUT_S", 0.2)
    with stand_in(GREETING, ANSWER, *lines, ends=ends) as connection:
        client = RawQmp(connection)
        with pytest.raises(VMError, match=says):
            client.load(7)


@pytest.mark.parametrize(
    ("suite_ms", "raw_ms", "says"),
    [
        ([2.25], RAW_MS, ""),
        ([2.35], RAW_MS, "adds 0.35 ms to a load of 2.00 ms, expected at most 0.30 ms"),
        ([104.0], [100.0], ""),
        ([106.0], [100.0], "adds 6.00 ms to a load of 100.00 ms, expected at most 5.00 ms"),
    ],
)
def test_an_overhead_that_is_too_large_is_found(suite_ms: list[float], raw_ms: list[float], says: str) -> None:
    problem = overhead_problem(suite_ms, raw_ms, PERF)
    assert says in problem
    assert bool(problem) == bool(says)
