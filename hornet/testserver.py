"""A page served on a VM's gateway: what the guest's HTTP tools are tried against, with no outside."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from hornet.network import VMNamespace


class _Page(http.server.BaseHTTPRequestHandler):
    def __init__(self, text: str, *arguments: Any) -> None:
        self._text = text
        super().__init__(*arguments)

    def do_GET(self) -> None:
        body = self._text.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Quiet: what the guest got is in the facts."""


@contextmanager
def page_server(namespace: VMNamespace, address: str, text: str) -> Iterator[str]:
    """Serve `text` at every path on `address` inside the namespace; yields the URL."""
    handler: Any = partial(_Page, text)
    # The listening socket belongs to the namespace it was made in, whatever thread accepts from it.
    server = namespace.run(lambda: http.server.ThreadingHTTPServer((address, 0), handler))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{address}:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
