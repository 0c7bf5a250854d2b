"""Small C programs, compiled on the host when they are needed; nothing of it stays on the disk."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Sequence
from pathlib import Path

from hornet.errors import CommandError
from hornet.host.proc import run

TIMEOUT_S = 60
HINT = "apt-get install gcc libc6-dev"
# In the command's own TMPDIR, which is gone with it however this process ends.
SCRIPT = '"$@" -o "$TMPDIR/program" && exec base64 "$TMPDIR/program"'


def compile_c(compiler: Sequence[str], source: Path) -> bytes:
    """The program or library of a source file. Raises CommandError without a C compiler, or if it complains."""
    if shutil.which(compiler[0]) is None:
        raise CommandError(f"{compiler[0]}: not found", HINT)
    return base64.b64decode(run(["sh", "-c", SCRIPT, "sh", *compiler, source], timeout_s=TIMEOUT_S, hint=HINT).output)
