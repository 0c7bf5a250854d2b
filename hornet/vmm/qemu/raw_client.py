"""A minimal client of QEMU, against which the suite's own overhead is measured: no jail, no sandbox, no library."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hornet.errors import VMError
from hornet.network import netns
from hornet.network.tap import open_tap
from hornet.spec.lane import Lane
from hornet.vmm.driver import MachineConfig
from hornet.vmm.qemu.command_line import MEMORY, base_arguments, card_arguments, memory_arguments

TIMEOUT_S = 20.0
CAPABILITIES = [{"capability": name, "state": True} for name in ("x-ignore-shared", "events")]


def raw_load_ms(lane: Lane, config: MachineConfig, memory: Path, state: Path) -> float:
    """Start QEMU for a VM that does not run, load a snapshot, end QEMU; how long the load took, in ms.

    The machine is that of the suite. Raises VMError.
    """
    card = config.card
    if card is None:
        raise VMError(f"VM {config.name}: no network card, and the snapshot's guest has one", "give it a card")
    with ExitStack() as stack:
        ours, theirs = (stack.enter_context(end) for end in socket.socketpair())
        tap_fd = netns.enter(card.namespace, lambda: open_tap(card.tap))
        stack.callback(os.close, tap_fd)
        disk, stream = (stack.enter_context(path.open(mode)) for path, mode in ((config.disk, "r+b"), (state, "rb")))
        argv = [
            *_without_sandbox(base_arguments(lane, config, disk.fileno())),
            *("-chardev", f"socket,id=qmp,fd={theirs.fileno()}", "-mon", "chardev=qmp,mode=control", "-serial", "null"),
            *("-incoming", "defer", "-S"),
            *(word.replace(MEMORY, str(memory)) for word in memory_arguments(config, shared=False)),
            *card_arguments(card, [tap_fd]),
        ]
        fds = [theirs.fileno(), disk.fileno(), stream.fileno(), tap_fd]
        process = subprocess.Popen(argv, pass_fds=fds, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        stack.callback(process.wait)
        stack.callback(process.kill)
        theirs.close()
        client = RawQmp(ours)
        began_ns = time.perf_counter_ns()
        client.load(stream.fileno())
        return (time.perf_counter_ns() - began_ns) / 1e6


def _without_sandbox(words: list[str]) -> list[str]:
    place = words.index("-sandbox")
    return words[:place] + words[place + 2 :]


class RawQmp:
    """QMP over a blocking socket. Every call raises VMError after TIMEOUT_S, at the end of QEMU, and for an error."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(TIMEOUT_S)
        self._connection = connection
        self._lines = connection.makefile("rb")
        self._statuses: list[str] = []
        self._receive()
        self._execute("qmp_capabilities")

    def load(self, state_fd: int) -> None:
        """Load the device state of a file that QEMU has inherited."""
        self._execute("migrate-set-capabilities", {"capabilities": CAPABILITIES})
        self._execute("migrate-incoming", {"uri": f"fd:{state_fd}"})
        while "completed" not in self._statuses:
            if "failed" in self._statuses:
                raise VMError("QEMU: the snapshot does not load", "run QEMU by hand and read what it prints")
            self._receive()

    def _execute(self, command: str, arguments: dict[str, Any] | None = None) -> None:
        request = {"execute": command} | ({"arguments": arguments} if arguments else {})
        # Without blanks: QEMU reads a command byte by byte, in some microseconds each.
        self._connection.sendall(json.dumps(request, separators=(",", ":")).encode())
        while "return" not in (answer := self._receive()):
            if "error" in answer:
                raise VMError(f"QEMU: {command}: {answer['error']}")

    def _receive(self) -> dict[str, Any]:
        try:
            line = self._lines.readline()
        except OSError as error:
            raise VMError(f"QEMU: no answer within {TIMEOUT_S:g} s", timed_out=True) from error
        if not line:
            raise VMError("QEMU: it ended", "run it by hand and read what it prints")
        answer: dict[str, Any] = json.loads(line)
        if answer.get("event") == "MIGRATION":
            self._statuses.append(answer["data"]["status"])
        return answer
