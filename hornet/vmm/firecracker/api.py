"""Firecracker's API: HTTP over a Unix socket. Errors carry Firecracker's own message."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any

from hornet.errors import VMError

TIMEOUT_S = 60.0


class Api(http.client.HTTPConnection):
    """HTTP over a Unix socket that is already connected."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self.sock = connection

    def call(self, method: str, path: str, body: dict[str, Any] | None) -> tuple[int, Any]:
        """One request; returns the HTTP status and the answer's JSON, None if it has none.

        Raises VMError with Firecracker's message for status 300 and above; OSError, HTTPException.
        """
        content = None if body is None else json.dumps(body)
        self.request(method, path, content, {"Content-Type": "application/json"} if content else {})
        answer = self.getresponse()
        text = answer.read().decode(errors="replace")
        if answer.status >= 300:
            raise VMError(f"HTTP {answer.status}: {_fault(text)}")
        return answer.status, json.loads(text) if text else None


def _fault(text: str) -> str:
    try:
        return str(json.loads(text)["fault_message"])
    except (ValueError, KeyError, TypeError):
        return text
