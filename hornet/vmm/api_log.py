"""The requests to a VMM's API and their answers, one line of JSON each, in the VM's directory."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hornet.errors import HornetError
from hornet.vmm.transcript import BoundedFile

API_FILE = "api.jsonl"
# Of one answer, as JSON. QEMU and Firecracker answer the suite's requests with a few words.
MAX_ANSWER_CHARACTERS = 4000


class Exchange:
    """One request. The caller sets `answer`, what the VMM replied; None for a reply without content."""

    answer: Any = None


class ApiLog:
    """Writes a line for each request, when it is answered or has failed. Bounded like a console; thread-safe.

    A line has `time` (wall clock, UTC), `monotonic_s` (CLOCK_MONOTONIC) and `duration_ms` of the request, `request`,
    and either `answer` or `error`. A disk that is full loses lines and disturbs no request.
    """

    def __init__(self, directory: Path) -> None:
        self._file = BoundedFile(directory / API_FILE)
        self._lock = threading.Lock()

    @contextmanager
    def request(self, **request: Any) -> Iterator[Exchange]:
        """Log the request that the block makes, also if it raises."""
        wall, began_s = datetime.now(UTC), time.monotonic()
        line: dict[str, Any] = {"time": wall.isoformat(), "monotonic_s": round(began_s, 6), "request": request}
        exchange = Exchange()
        try:
            yield exchange
        except BaseException as error:
            line["error"] = error.message if isinstance(error, HornetError) else str(error) or type(error).__name__
            raise
        else:
            line["answer"] = _bounded(exchange.answer)
        finally:
            line["duration_ms"] = round((time.monotonic() - began_s) * 1000, 3)
            self._write(line)

    def close(self) -> None:
        """Close the file. Later requests are not logged."""
        with self._lock:
            self._file.close()

    def _write(self, line: dict[str, Any]) -> None:
        with self._lock:
            if not self._file.closed:
                self._file.write(f"{json.dumps(line, default=str)}\n".encode())


def _bounded(answer: Any) -> Any:
    text = json.dumps(answer, default=str)
    return (
        answer if len(text) <= MAX_ANSWER_CHARACTERS else f"{text[:MAX_ANSWER_CHARACTERS]} … ({len(text)} characters)"
    )
