"""Progress of long work: one line when a step begins, a heartbeat while it lasts, one when it ends."""

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
    """Prints `[ 12.3 s] kernel: compiling …` lines to a stream (standard error unless told).

    A step that lasts shows its newest `update` text every HEARTBEAT_S seconds, so that a user sees that
    it lives and a log stays short.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._started_s = time.monotonic()
        self._detail = ""

    def say(self, text: str) -> None:
        """Print one line with the time since the start."""
        print(f"[{time.monotonic() - self._started_s:6.1f} s] {one_line(text)}", file=self._stream, flush=True)

    def update(self, detail: str) -> None:
        """Note what the running step does now; shown with the next heartbeat."""
        self._detail = detail

    @contextmanager
    def step(self, name: str, what: str) -> Iterator[Progress]:
        """A named step: announced, kept alive, and closed with its duration or its failure."""
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
