"""Serves pages on a VM's gateway, to test the guest's HTTP tools without Internet access."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from hornet.network import VMNamespace


class _Page(http.server.BaseHTTPRequestHandler):
    def __init__(self, pages: Mapping[str, str], *arguments: Any) -> None:
        self._pages = pages
        super().__init__(*arguments)

    def do_GET(self) -> None:
        if self.path not in self._pages:
            self.send_error(404)
            return
        body = self._pages[self.path].encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Log nothing: the probe results show what the guest received."""


@contextmanager
def pages_server(namespace: VMNamespace, address: str, pages: Mapping[str, str], port: int = 0) -> Iterator[str]:
    """Serve texts by path on `address` inside the namespace; port 0: any free one. Yields the URL of `/`."""
    handler: Any = partial(_Page, pages)
    # The listening socket belongs to the namespace in which it was created, whichever thread accepts from it.
    server = namespace.run(lambda: http.server.ThreadingHTTPServer((address, port), handler))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{address}:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def page_server(namespace: VMNamespace, address: str, text: str) -> Iterator[str]:
    """Serve one text. Yields its URL."""
    with pages_server(namespace, address, {"/": text}) as url:
        yield url
