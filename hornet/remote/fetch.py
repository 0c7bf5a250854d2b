"""Brings a run directory back by SFTP. What a host sends is bounded, and kept only if the run closed with it."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import paramiko

from hornet.errors import HostError
from hornet.host.durable import put_in_place
from hornet.host.owned import work_directory
from hornet.results.outcomes import EVIDENCE_DIRECTORY
from hornet.results.run_end import DEMANDS, RESULTS
from hornet.results.run_info import RUN_FILE, read_run_info, run_problems

NAMES = (RUN_FILE, *RESULTS, *DEMANDS)
# As many bytes as pytest-benchmark's largest file; a whole run has a few MB.
MAX_FILE_BYTES = 64 << 20
MAX_RUN_BYTES = 256 << 20
MAX_EVIDENCE_FILES = 2000
MAX_DEPTH = 4
CHUNK_BYTES = 1 << 18
SILENCE_S = 60
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@:+-]{0,126}")


def fetch_run(sftp: paramiko.SFTPClient, remote: str, target: Path, *, suite: str, spec_sha256: str) -> None:
    """Copy the run directory `remote` to `target`, which appears complete or not at all.

    suite, spec_sha256: of the run that is expected. Raises HostError for a run that is missing, did not end, was edited
    on its way or after its end, or is another; for a hostile name; and for one that is too big. Raises OSError and
    paramiko.SSHException if the connection fails.
    """
    channel = sftp.get_channel()
    if channel:
        channel.settimeout(SILENCE_S)
    with work_directory(target.parent, f".{target.name}") as work:
        source = _Source(sftp, MAX_RUN_BYTES)
        for name in NAMES:
            source.copy(f"{remote}/{name}", work / name, required=name == RUN_FILE)
        _require_intact(work, suite, spec_sha256)
        for path in islice(source.below(f"{remote}/{EVIDENCE_DIRECTORY}", MAX_DEPTH), MAX_EVIDENCE_FILES):
            local = work / path.removeprefix(f"{remote}/")
            local.parent.mkdir(parents=True, exist_ok=True)
            source.copy(path, local, required=True)
        put_in_place(work, target)


def _require_intact(directory: Path, suite: str, spec_sha256: str) -> None:
    info = read_run_info(directory / RUN_FILE)
    unknown = [name for name in info.files if name not in NAMES]
    problems = [f"{RUN_FILE} names a file that no run has: {name!r}" for name in unknown]
    problems = problems or run_problems(directory, info)
    if not problems and (info.suite, info.files.get("spec.json")) != (suite, spec_sha256):
        problems = [f"its run is of another suite or specification: {info.suite}"]
    if problems:
        raise HostError(problems[0], "run it again: --resume")


class _Source:
    """The files of a host, of which at most a number of bytes is read."""

    def __init__(self, sftp: paramiko.SFTPClient, left_bytes: int) -> None:
        self._sftp = sftp
        self._left_bytes = left_bytes

    def copy(self, remote: str, local: Path, *, required: bool) -> None:
        """Copy a regular file; one that is missing is left out unless it is required."""
        try:
            mode = self._sftp.lstat(remote).st_mode
        except FileNotFoundError:
            if required:
                raise HostError(f"{remote}: missing", "run it again: --resume") from None
            return
        if mode is None or not stat.S_ISREG(mode):
            raise HostError(f"{remote}: not a regular file", "look at that host")
        with self._sftp.open(remote, "rb") as stream, local.open("wb") as kept:
            stream.prefetch(min(stream.stat().st_size or 0, MAX_FILE_BYTES))
            size = 0
            while chunk := stream.read(CHUNK_BYTES):
                size += len(chunk)
                self._left_bytes -= len(chunk)
                if size > MAX_FILE_BYTES or self._left_bytes < 0:
                    raise HostError(
                        f"{remote}: more than {MAX_FILE_BYTES} bytes, or {MAX_RUN_BYTES} of the whole run",
                        "look at that host",
                    )
                kept.write(chunk)

    def below(self, directory: str, depth: int) -> Iterator[str]:
        """The files below a directory; none if it is missing. Raises HostError for a hostile name."""
        try:
            entries = list(islice(self._sftp.listdir_iter(directory), MAX_EVIDENCE_FILES))
        except FileNotFoundError:
            return
        for entry in sorted(entries, key=lambda found: found.filename):
            if not _NAME.fullmatch(entry.filename):
                raise HostError(f"{directory}: a file with a hostile name: {entry.filename!r}", "look at that host")
            path, mode = f"{directory}/{entry.filename}", entry.st_mode or 0
            if stat.S_ISREG(mode):
                yield path
            elif stat.S_ISDIR(mode) and depth:
                yield from self.below(path, depth - 1)
            else:
                raise HostError(f"{path}: neither a file nor a directory of a run", "look at that host")
