"""A server on a VM's gateway: files by path, and a stand-in for the model's API that answers each message alike.

Source: https://docs.claude.com/en/api/messages and …/messages-streaming.
"""

from __future__ import annotations

import http.server
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

MESSAGES = "/v1/messages"
COUNT_TOKENS = "/v1/messages/count_tokens"
# A conversation with its tools takes some hundred KiB.
MAX_REQUEST_BYTES = 16 << 20
USAGE = {"input_tokens": 1, "output_tokens": 1}


class StandIn(http.server.BaseHTTPRequestHandler):
    """Answers one connection. files: by path; reply: the model's text; messages: counts its requests by path."""

    # Clients of the API keep their connection.
    protocol_version = "HTTP/1.1"

    def __init__(self, files: Mapping[str, bytes], reply: str, messages: list[str], *arguments: Any) -> None:
        self._files, self._reply, self._messages = files, reply, messages
        super().__init__(*arguments)

    def do_GET(self) -> None:
        body = self._files.get(urlsplit(self.path).path)
        self._answer(404, "text/plain", b"") if body is None else self._answer(200, "application/octet-stream", body)

    def do_HEAD(self) -> None:
        """Clients ask whether the API is there."""
        self._answer(200, "text/plain", b"")

    def do_POST(self) -> None:
        path = urlsplit(self.path).path
        try:
            length = int(self.headers.get("Content-Length", ""))
            request = json.loads(self.rfile.read(length)) if 0 <= length <= MAX_REQUEST_BYTES else None
        except ValueError:
            request = None
        if not isinstance(request, dict):
            self._answer(400, "application/json", b'{"type": "error"}')
            return
        self._messages.append(path)
        if path == COUNT_TOKENS:
            self._answer(200, "application/json", b'{"input_tokens": 1}')
        elif path != MESSAGES:
            self._answer(404, "application/json", b'{"type": "error"}')
        elif request.get("stream"):
            self._answer(200, "text/event-stream", "".join(stream_of(self._reply, request.get("model"))).encode())
        else:
            text = {"type": "text", "text": self._reply}
            message = {**_message(request.get("model")), "content": [text], "stop_reason": "end_turn"}
            self._answer(200, "application/json", json.dumps(message).encode())

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Log nothing: the guest's results show what it received."""


def stream_of(reply: str, model: object) -> Iterator[str]:
    """The server-sent events of a message with one block of text."""
    start = {"type": "text", "text": ""}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**_message(model), "content": [], "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": start},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": reply}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": USAGE},
        {"type": "message_stop"},
    ]
    yield from (f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)


def _message(model: object) -> dict[str, Any]:
    about = {"id": "msg_stand_in", "type": "message", "role": "assistant", "model": model}
    return {**about, "stop_sequence": None, "usage": USAGE}
