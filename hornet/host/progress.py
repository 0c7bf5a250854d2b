"""Progress of long work: one line at the start of a step, a heartbeat, and one line at its end."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from hornet.text import one_line

HEARTBEAT_S = 10.0


class Progress:
    """Prints lines such as `[ 12.3 s] kernel: compiling …` to a stream (default: standard error).

    A long step prints its newest `update` text every HEARTBEAT_S seconds, so that a user sees that it is alive and a
    log stays short.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._started_s = time.monotonic()
        self._detail = ""

    def say(self, text: str) -> None:
        """Print one line with the time since the start."""
        print(f"[{time.monotonic() - self._started_s:6.1f} s] {one_line(text)}", file=self._stream, flush=True)

    def update(self, detail: str) -> None:
        """Set the text of the next heartbeat."""
        self._detail = detail

    @contextmanager
    def step(self, name: str, what: str) -> Iterator[Progress]:
        """Run a block as a named step, and print its start, its heartbeats, and its duration or failure."""
        began_s = time.monotonic()
        self._detail = ""
        self.say(f"{name}: {what} …")
        done = threading.Event()
        beat = threading.Thread(target=self._heartbeat, args=(name, began_s, done), daemon=True)
        beat.start()
        try:
            yield self
        except BaseException as error:
            done.set()
            self.say(f"{name}: failed after {time.monotonic() - began_s:.1f} s ({type(error).__name__})")
            raise
        else:
            done.set()
            self.say(f"{name}: done in {time.monotonic() - began_s:.1f} s")
        finally:
            done.set()
            beat.join()

    def _heartbeat(self, name: str, began_s: float, done: threading.Event) -> None:
        while not done.wait(HEARTBEAT_S):
            self.say(f"{name}: {time.monotonic() - began_s:.0f} s  {self._detail}".rstrip())
