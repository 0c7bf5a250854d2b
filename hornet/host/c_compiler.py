"""Compiles small C programs on the host when they are needed; nothing stays on the disk."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Sequence
from pathlib import Path

from hornet.errors import CommandError
from hornet.host.proc import run

TIMEOUT_S = 60
HINT = "apt-get install gcc libc6-dev"
# The command's own TMPDIR is removed with it, however this process ends.
SCRIPT = '"$@" -o "$TMPDIR/program" && exec base64 "$TMPDIR/program"'


def compile_c(compiler: Sequence[str], source: Path) -> bytes:
    """Compile a source file; returns the program or library. Raises CommandError without a compiler, or if it fails."""
    if shutil.which(compiler[0]) is None:
        raise CommandError(f"{compiler[0]}: not found", HINT)
    return base64.b64decode(run(["sh", "-c", SCRIPT, "sh", *compiler, source], timeout_s=TIMEOUT_S, hint=HINT).output)
