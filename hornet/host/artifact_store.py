"""The content-addressed store: an artifact is a directory named by the hash of all its inputs."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from hornet.errors import BuildError
from hornet.foreign_file import ForeignFileError, MissingFileError, open_foreign, read_json
from hornet.host.artifact_parts import difference, parts_of
from hornet.host.durable import put_in_place
from hornet.host.in_use import hold, release
from hornet.host.owned import MARK, remove_abandoned, work_directory
from hornet.host.umask import build_umask
from hornet.host.workspace import Workspace

# Called with workspace, kind and inputs before something is built; each may refuse (builders/downloads.py).
BEFORE_BUILD: list[Callable[[Workspace, str, Mapping[str, Any]], None]] = []
# The environment variable of the option --offline.
OFFLINE = "HORNET_OFFLINE"
INPUTS_FILE = "inputs.json"
CHUNK_BYTES = 1 << 20
MAX_HASHED_BYTES = 1 << 40
# inputs.json names each file of an artifact. A kernel's source tree has 80,000.
MAX_INPUTS_BYTES = 64 << 20


def content_key(inputs: Mapping[str, Any]) -> str:
    """16 hex digits of the SHA-256 over the inputs as canonical JSON."""
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_sha256(path: Path, on_bytes: Callable[[int], None] | None = None) -> str:
    """SHA-256 of a regular file, as 64 hex digits. `on_bytes` is called with the number of bytes read, for progress.

    Raises ForeignFileError for a file that cannot be read, is endless, or would take hours.
    """
    digest = hashlib.sha256()
    chunk = memoryview(bytearray(CHUNK_BYTES))
    with open_foreign(path, MAX_HASHED_BYTES) as stream:
        while count := stream.readinto(chunk):
            digest.update(chunk[:count])
            if on_bytes:
                on_bytes(count)
    return digest.hexdigest()


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr)


@dataclass(frozen=True)
class Store:
    """Artifacts in HORNET_HOME/build/<kind>/<key>/, each with inputs.json: its inputs and its files.

    say: called with the reason when an existing artifact is rebuilt.
    """

    workspace: Workspace
    say: Callable[[str], None] = _to_stderr

    def path(self, kind: str, inputs: Mapping[str, Any]) -> Path:
        """The path of the artifact of these inputs, whether or not it exists."""
        return self.workspace.build / kind / content_key(inputs)

    def get_or_build(self, kind: str, inputs: Mapping[str, Any], build: Callable[[Path], None]) -> Path:
        """The artifact's directory; `build(work_dir)` fills it if it is missing or was changed after it was built.

        Concurrent requests for the same artifact wait on a file lock. The work directory becomes the artifact by one
        rename, after all of it is on the disk. After a failure the work directory is removed and its *.log files are
        kept as <key>.failed/. Raises what `build` raises, and BuildError for a full disk.
        """
        parent = self.workspace.directory("build", kind)
        final = parent / content_key(inputs)
        failed = parent / f"{final.name}.failed"
        with FileLock(f"{final}.lock"):
            if self._is_intact(final, inputs):
                self._use(final)
                return final
            for check in BEFORE_BUILD:
                check(self.workspace, kind, inputs)
            with work_directory(parent, final.name) as work:
                work.chmod(0o755)
                try:
                    with build_umask():
                        build(work)
                    _write_inputs(work, inputs)
                    self._publish(work, final, inputs)
                except OSError as error:
                    raise BuildError(
                        f"{kind} {final.name}: {error.filename or work}: {error.strerror or error}",
                        f"free space below {self.workspace.root}, then run the command again",
                    ) from error
                finally:
                    if work.exists():
                        _keep_logs(work, failed)
            self._use(final)
        shutil.rmtree(failed, ignore_errors=True)
        return final

    @staticmethod
    def _use(final: Path) -> None:
        """Mark the artifact as used by this process, and note when: `hornetos clean` removes the oldest."""
        hold(final)
        with suppress(OSError):  # a read-only HORNET_HOME
            os.utime(final / INPUTS_FILE)

    def _is_intact(self, final: Path, inputs: Mapping[str, Any]) -> bool:
        """Whether the artifact exists unchanged; a changed one is removed."""
        if not os.path.lexists(final):
            return False
        why = _why_not(final, inputs)
        if why is None:
            return True
        self.say(f"{final.parent.name} {final.name}: {why}; it is rebuilt")
        # Renamed first: an interrupted removal must not leave half an artifact under its name.
        release(final)
        aside = final.with_name(f"{final.name}{MARK}{secrets.token_hex(4)}")
        final.rename(aside)
        if not remove_abandoned(aside) and not aside.is_dir():  # a used directory is removed at a later start
            aside.unlink()  # a link, a device …
        return False

    def _publish(self, work: Path, final: Path, inputs: Mapping[str, Any]) -> None:
        try:
            put_in_place(work, final)
        except OSError:
            # Somebody deleted the lock file, so two processes built it at once, and the other was faster.
            if not self._is_intact(final, inputs):
                raise


def _why_not(final: Path, inputs: Mapping[str, Any]) -> str | None:
    """How an artifact differs from what was built, as a sentence; None if it does not."""
    if final.is_symlink() or not final.is_dir():
        return "it is not a directory"
    try:
        noted = read_json(final / INPUTS_FILE, MAX_INPUTS_BYTES, follow_links=False)
        if noted["inputs"] != json.loads(json.dumps(inputs, default=str)):
            return f"{INPUTS_FILE} names other inputs"
        return difference(final, noted["files"], apart_from=[INPUTS_FILE])
    except OSError as error:
        return f"{Path(error.filename).name}: {error.strerror}"
    except MissingFileError:
        return f"{INPUTS_FILE} is missing"
    except (ForeignFileError, ValueError, TypeError, LookupError, AttributeError):
        return f"{INPUTS_FILE} is damaged"


def _write_inputs(work: Path, inputs: Mapping[str, Any]) -> None:
    """Write the inputs in readable form, then one line per file."""
    made_from = json.dumps(inputs, indent=2, sort_keys=True, default=str)
    files = ",\n".join(f"{json.dumps(name)}: {json.dumps(part)}" for name, part in sorted(parts_of(work).items()))
    (work / INPUTS_FILE).write_text(f'{{"inputs": {made_from},\n"files": {{\n{files}\n}}}}\n')


def _keep_logs(work: Path, kept: Path) -> None:
    shutil.rmtree(kept, ignore_errors=True)
    for log in work.glob("*.log"):
        kept.mkdir(exist_ok=True)
        shutil.move(log, kept / log.name)
