"""QMP with a stand-in for QEMU: answers, errors, late answers, events, passed files, and every way in which it ends."""

from __future__ import annotations

import array
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from hornet.errors import VMError
from hornet.vmm.api_log import API_FILE, ApiLog
from hornet.vmm.failure import FailureSignal, VMFailedError
from hornet.vmm.qemu.qmp import MAX_STATUSES, Qmp

LIMIT_S = 0.3
Answers = Callable[[dict[str, Any]], list[Any]]


def agrees(request: dict[str, Any]) -> list[Any]:
    return [{"return": {"ran": request["execute"]}, "id": request["id"]}]


@contextmanager
def qemu(answers: Answers, directory: Path) -> Iterator[tuple[Qmp, FailureSignal, socket.socket]]:
    """A connected Qmp, its VM's failure, and the stand-in's socket. answers: to a request; None: the stand-in ends."""
    ours, theirs = socket.socketpair()
    failure = FailureSignal("vm1")
    qmp = Qmp(ours, failure, ApiLog(directory), lambda reason: failure.set(f"was paused: {reason}"))

    def serve() -> None:
        # The other end may be closed before everything was sent.
        with suppress(OSError), theirs.makefile("rb") as lines:
            for request in map(json.loads, lines):
                messages = agrees(request) if request["execute"] == "qmp_capabilities" else answers(request)
                for message in messages:
                    if message is None:
                        theirs.shutdown(socket.SHUT_RDWR)
                        return
                    say(theirs, message)

    with theirs:
        say(theirs, {"QMP": {"version": {}}})
        threading.Thread(target=serve, daemon=True).start()
        qmp.connect(5)
        qmp.watch()
        yield qmp, failure, theirs
        qmp.close()


def say(connection: socket.socket, message: Any) -> None:
    connection.sendall(message if isinstance(message, bytes) else json.dumps(message).encode() + b"\r\n")


def test_commands_get_their_own_answers_on_any_thread(tmp_path: Path) -> None:
    found: list[Any] = []
    with qemu(agrees, tmp_path) as (qmp, failure, _):
        threads = [threading.Thread(target=lambda n=n: found.append((n, qmp.execute(f"query-{n}")))) for n in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failure.started
    assert sorted(found) == [(n, {"ran": f"query-{n}"}) for n in range(20)]
    assert "query-19" in (tmp_path / API_FILE).read_text()


def test_late_answer_is_not_that_of_the_next_command(tmp_path: Path) -> None:
    held: list[Any] = []

    def answers(request: dict[str, Any]) -> list[Any]:
        if request["execute"] == "slow":
            held.extend(agrees(request))
            return []
        return [*held, *agrees(request)]

    with qemu(answers, tmp_path) as (qmp, _, _):
        with pytest.raises(VMError, match=r"no answer to QMP slow within 0\.3 s") as caught:
            qmp.execute("slow", timeout_s=LIMIT_S)
        assert caught.value.timed_out
        assert qmp.execute("fast") == {"ran": "fast"}


def test_refused_command_says_why(tmp_path: Path) -> None:
    refused = {"class": "GenericError", "desc": "no such device"}
    with (
        qemu(lambda request: [{"error": refused, "id": request["id"]}], tmp_path) as (qmp, _, _),
        pytest.raises(VMError, match="VM vm1: QMP balloon: no such device"),
    ):
        qmp.execute("balloon")


BAD_ANSWERS: dict[str, list[Any]] = {
    "not JSON": [b"hello\r\n"],
    "not UTF-8": [b"\xff\r\n"],
    "a line without end": [b"[" * (2 << 20)],
    "an end": [None],
}


@pytest.mark.parametrize("messages", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
def test_connection_without_answers_ends_the_call_at_once(messages: list[Any], tmp_path: Path) -> None:
    with (
        qemu(lambda _: messages, tmp_path) as (qmp, _, _),
        pytest.raises(VMError, match="QMP stop: QEMU has closed the connection"),
    ):
        qmp.execute("stop")


def test_failure_of_the_vm_ends_a_waiting_call_with_its_reason(tmp_path: Path) -> None:
    with qemu(lambda _: [], tmp_path) as (qmp, failure, _):
        threading.Timer(0.1, failure.set, ["failed: its VMM was killed by SIGKILL"]).start()
        with pytest.raises(VMFailedError, match=r"SIGKILL.*asking QEMU to stop"):
            qmp.execute("stop")


def test_full_disk_is_reported_by_its_event_alone(tmp_path: Path) -> None:
    with qemu(agrees, tmp_path) as (qmp, failure, theirs):
        for action, reason in (("report", "ignored"), ("stop", "No space left on device")):
            say(theirs, {"event": "BLOCK_IO_ERROR", "data": {"action": action, "reason": reason}})
        assert failure.wait(5)
        with pytest.raises(VMFailedError, match="was paused: No space left on device"):
            qmp.execute("cont")


@pytest.mark.parametrize("ended", ["failed", "cancelled"])
def test_migration_that_does_not_complete_is_an_error(ended: str, tmp_path: Path) -> None:
    def answers(request: dict[str, Any]) -> list[Any]:
        events = [{"event": "MIGRATION", "data": {"status": status}} for status in ("setup", "active", ended)]
        return [*agrees(request), *events]

    with qemu(answers, tmp_path) as (qmp, _, _):
        qmp.execute("migrate")
        with pytest.raises(VMError, match=f"ended as '{ended}', expected 'completed'"):
            qmp.wait_migration(5)


def test_migration_completes_whatever_came_before(tmp_path: Path) -> None:
    statuses = ["active"] * (2 * MAX_STATUSES) + ["completed"]
    events = [{"event": "MIGRATION", "data": {"status": status}} for status in statuses]
    with qemu(lambda request: [*events, *agrees(request)], tmp_path) as (qmp, _, _):
        qmp.execute("migrate-incoming")
        qmp.wait_migration(5)
        with pytest.raises(VMError, match="no answer to QMP migration"):
            qmp.wait_migration(LIMIT_S)


def test_file_is_passed_with_its_command(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    qmp = Qmp(ours, FailureSignal("vm1"), ApiLog(tmp_path), lambda _: None)
    (tmp_path / "state").write_text("state")
    passed: list[str] = []

    def serve() -> None:
        say(theirs, {"QMP": {}})
        for _ in range(2):
            data, ancillary, _, _ = theirs.recvmsg(1 << 16, socket.CMSG_SPACE(4))
            for _, _, raw in ancillary:
                fd = array.array("i", raw)[0]
                passed.append(os.read(fd, 100).decode())
                os.close(fd)
            say(theirs, agrees(json.loads(data))[0])

    threading.Thread(target=serve, daemon=True).start()
    with theirs, (tmp_path / "state").open("rb") as stream:
        qmp.connect(5)
        qmp.send_fd(stream.fileno(), "state")
        qmp.close()
    assert passed == ["state"]
