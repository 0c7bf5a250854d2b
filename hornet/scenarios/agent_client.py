"""The client of a VM's agent (see hornet/vm/agent.py): starts it, queries it, and accepts its connections."""

from __future__ import annotations

import secrets
import shlex
import socket
import time
from typing import Any

from pydantic import TypeAdapter, ValidationError

from hornet.errors import GuestError
from hornet.spec.model import Spec
from hornet.vm.agent import ANSWER_PORT, CLIENT_PORT, DISK_FILE, SCRIPT, AgentSample, TimedSample
from hornet.vm.fleet import VM

START_TIMEOUT_S, ANSWER_TIMEOUT_S, LOOK_S = 60, 30, 0.1
START = """
cat >/run/agent.js <<'END'
{script}END
setsid node /run/agent.js {arguments} </dev/null >/dev/console 2>&1 &
"""


class AgentClient:
    """The gateway's side of one VM's agent: the port that the agent connects to, and the socket for queries.

    Create it before the VM runs, so that a query is already waiting for the guest. A context manager.
    """

    def __init__(self, vm: VM, spec: Spec) -> None:
        self._vm = vm
        self._guest = str(spec.network.guest_address.ip)
        gateway = str(spec.network.gateway_address.ip)
        self._listener = vm.namespace.make_socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((gateway, CLIENT_PORT))
        self._listener.listen()
        self._connections: list[socket.socket] = []
        self._question = vm.namespace.make_socket(socket.SOCK_DGRAM)
        self._question.bind((gateway, 0))
        self._asked: dict[str, float] = {}

    def start_agent(self, nonce: str) -> None:
        """Start the agent in the guest, and wait until it is ready. Raises GuestError, VMError."""
        gateway = self._listener.getsockname()[0]
        arguments = shlex.join([gateway, str(ANSWER_PORT), str(CLIENT_PORT), nonce, DISK_FILE])
        self._vm.guest.check_output(START.format(script=SCRIPT.read_text(), arguments=arguments), START_TIMEOUT_S)
        if self._vm.vmm.prints:
            self._vm.vmm.console.wait_for(f"agent {nonce} is there", START_TIMEOUT_S)
        self.accept(START_TIMEOUT_S)

    def ask(self) -> str:
        """Send a query; a paused VM gets it as soon as it runs. Returns the query's token."""
        token = secrets.token_hex(4)
        self._asked[token] = time.time()
        self._question.sendto(token.encode(), (self._guest, ANSWER_PORT))
        return token

    def answer(self, token: str) -> TimedSample:
        """Wait for the answer to a query. Raises GuestError on a timeout, VMFailedError if the VM fails."""
        deadline_s = time.monotonic() + ANSWER_TIMEOUT_S
        # A VM failure does not interrupt the wait for a datagram, so check for one between short waits.
        self._question.settimeout(LOOK_S)
        while time.monotonic() < deadline_s and not self._vm.vmm.failure.failed:
            try:
                data = self._question.recv(65536)
            except TimeoutError:
                continue
            got_s = time.time()
            try:
                seen: AgentSample = TypeAdapter(AgentSample).validate_json(data)
            except ValidationError:
                continue  # another program in the guest sent this
            if seen.token == token:
                return TimedSample(seen, self._asked[token], got_s)
        self._vm.vmm.failure.check("waiting for the agent's answer")
        raise GuestError(
            f"VM {self._vm.name}: the agent does not answer within {ANSWER_TIMEOUT_S} s"
            f"{self._vm.vmm.failure.stopped()}",
            "look at the guest's console: does node run in it?",
        )

    def accept(self, timeout_s: float) -> float | None:
        """Wait until the agent connects. Returns the seconds that it took, None on a timeout.

        Raises VMFailedError.
        """
        self._listener.settimeout(timeout_s)
        began_s = time.monotonic()
        try:
            self._connections.append(self._listener.accept()[0])
        except OSError:  # timeout, or the socket was closed with the VM
            self._vm.vmm.failure.check("waiting for the agent to connect")
            return None
        return time.monotonic() - began_s

    def __enter__(self) -> AgentClient:
        return self

    def __exit__(self, *_: Any) -> None:
        for each in [*self._connections, self._listener, self._question]:
            each.close()
