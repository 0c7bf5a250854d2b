"""The content-addressed store: an artifact is a directory named by the hash of all that went into it."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from hornet.errors import BuildError
from hornet.home import Home
from hornet.umask import build_umask

INPUTS_FILE = "inputs.json"
CHUNK_BYTES = 1 << 20


def content_key(inputs: Mapping[str, Any]) -> str:
    """16 hex digits of the SHA-256 over the inputs as canonical JSON."""
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_sha256(path: Path, on_bytes: Callable[[int], None] | None = None) -> str:
    """SHA-256 of a file's bytes, as 64 hex digits; `on_bytes` is told how many were read, for progress."""
    digest = hashlib.sha256()
    chunk = memoryview(bytearray(CHUNK_BYTES))
    with path.open("rb", buffering=0) as stream:
        while count := stream.readinto(chunk):
            digest.update(chunk[:count])
            if on_bytes:
                on_bytes(count)
    return digest.hexdigest()


@dataclass(frozen=True)
class Store:
    """Artifacts below HORNET_HOME/build/<kind>/<key>/, each with inputs.json, what it was made from."""

    home: Home

    def path(self, kind: str, inputs: Mapping[str, Any]) -> Path:
        """Where the artifact of these inputs lies or would lie."""
        return self.home.build / kind / content_key(inputs)

    def get_or_build(self, kind: str, inputs: Mapping[str, Any], build: Callable[[Path], None]) -> Path:
        """The artifact's directory; `build(work_dir)` fills it if it is not there yet.

        One builder at a time per artifact (file lock). The work directory becomes the artifact by one
        rename; after a failure it is removed, its *.log files kept as <key>.failed/. Raises what `build`
        raises, and BuildError for a full disk.
        """
        final = self.path(kind, inputs)
        final.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{final}.lock"):
            if (final / INPUTS_FILE).exists():
                return final
            self._remove_stale(final)
            work = Path(tempfile.mkdtemp(prefix=f"{final.name}.tmp-", dir=final.parent))
            work.chmod(0o755)
            try:
                with build_umask():
                    build(work)
                (work / INPUTS_FILE).write_text(json.dumps(inputs, indent=2, sort_keys=True, default=str) + "\n")
                work.replace(final)
            except OSError as error:
                raise BuildError(
                    f"{kind} {final.name}: {error}",
                    f"free space below {self.home.root}, then run the command again",
                ) from error
            finally:
                if work.exists():
                    self._keep_logs(work, final.with_name(f"{final.name}.failed"))
                    shutil.rmtree(work, ignore_errors=True)
        return final

    @staticmethod
    def _remove_stale(final: Path) -> None:
        """Half-written directories of a run that was killed; the lock says that nobody is at work on them."""
        for stale in [*final.parent.glob(f"{final.name}.tmp-*"), final]:
            shutil.rmtree(stale, ignore_errors=True)

    @staticmethod
    def _keep_logs(work: Path, kept: Path) -> None:
        shutil.rmtree(kept, ignore_errors=True)
        for log in work.glob("*.log"):
            kept.mkdir(exist_ok=True)
            shutil.move(log, kept / log.name)
