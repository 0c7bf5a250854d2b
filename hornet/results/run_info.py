"""run.json: how a run was made, and the hashes that close it.

It is written when a run begins and again when it ends. A run without an end, or whose files are not those of its end,
cannot be judged: it was interrupted, is still running, or was edited.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hornet import __version__
from hornet.foreign_file import ForeignFileError, first_problem, read_json
from hornet.host.artifact_store import file_sha256
from hornet.host.durable import write_file
from hornet.host.tuning import tuning
from hornet.spec.model import Spec
from hornet.vm.life import RESTORED, Life

RUN_FILE = "run.json"
SPEC_FILE = "spec.json"
MAX_RUN_FILE_BYTES = 1 << 20
# Raise it when an older suite could misread a run directory.
FORMAT = 1
# Exit codes of a session that went to its end: passed, failed, not judged.
ENDS = (0, 1, 2)


class Session(BaseModel):
    """One pytest session of a run. Times are UTC in ISO 8601; ended and exit_status are None while it runs.

    tuning: the host's settings (hornet.host.tuning) as it began; empty in runs of older suites.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    command: list[str]
    started: str
    ended: str | None = None
    exit_status: int | None = None
    load_per_core: Annotated[float, Field(ge=0)] | None = None
    tuning: dict[str, str] = {}


class RunInfo(BaseModel):
    """The content of run.json. suite: the version. commit: of the checkout, None outside one. spec_sha256: of
    spec.json, the specification with all overlays. overlays: their paths as given. subject: SHA-256 of kernel, image
    and snapshot. life: whether guests under test were restored or booted. rerun_of: the run whose failed tests this one
    repeats. files: SHA-256 by name."""

    model_config = ConfigDict(extra="forbid", strict=True)

    format: int = FORMAT
    suite: str = __version__
    commit: str | None = None
    tier: str | None = None
    overlays: list[str] = []
    subject: dict[str, str] = {}
    life: Life = RESTORED
    rerun_of: str | None = None
    sessions: list[Session] = []
    files: dict[str, str] = {}


def begin_session(directory: Path, info: RunInfo, command: Sequence[str], spec: dict[str, Any], load: float) -> None:
    """Write run.json and spec.json as a session begins. A run may have several sessions, all of one specification.

    load: the host's load per core before it. Raises ForeignFileError for an unreadable run.json of an earlier session,
    and if that session was one of another specification.
    """
    text = _spec_text(spec)
    path = directory / RUN_FILE
    if path.exists():
        info = read_run_info(path)
        if (directory / SPEC_FILE).read_text(encoding="utf-8") != text:
            raise ForeignFileError(
                f"{directory}: the earlier session of this run used another specification", "use a new --run-dir"
            )
    write_file(directory / SPEC_FILE, text)
    info.files = {}
    session = Session(command=list(command), started=_now(), load_per_core=round(load, 2), tuning=tuning())
    info.sessions.append(session)
    _write(path, info)


def spec_sha256(spec: Spec) -> str:
    """SHA-256 of the spec.json of a run of this specification."""
    return hashlib.sha256(_spec_text(spec.model_dump(mode="json")).encode()).hexdigest()


def _spec_text(spec: dict[str, Any]) -> str:
    return json.dumps(spec, indent=1) + "\n"


def end_session(directory: Path, exit_status: int, subject: dict[str, str], names: Sequence[str]) -> None:
    """Close a run: the end of its last session, and the hash of each of the named files that exists."""
    info = read_run_info(directory / RUN_FILE)
    info.sessions[-1].ended, info.sessions[-1].exit_status = _now(), exit_status
    info.subject = subject
    info.files = {name: file_sha256(directory / name) for name in names if (directory / name).is_file()}
    _write(directory / RUN_FILE, info)


def read_run_info(path: Path) -> RunInfo:
    """Parse run.json. Raises ForeignFileError for a file that is missing, of a newer format, or not of this form."""
    found = read_json(path, MAX_RUN_FILE_BYTES)
    newer = found.get("format") if isinstance(found, dict) else None
    if isinstance(newer, int) and newer > FORMAT:
        raise ForeignFileError(
            f"{path.name}: of format {newer}, this suite ({__version__}) reads up to {FORMAT}",
            f"use the suite that wrote it: {found.get('suite', 'unknown')}",
        )
    try:
        return RunInfo.model_validate(found)
    except ValidationError as error:
        raise ForeignFileError(f"{path.name}: {first_problem(error)}", "run the tests again") from error


def run_problems(directory: Path, info: RunInfo) -> list[str]:
    """One sentence for each reason why the results of a run are not those that its tests left."""
    problems = [] if info.sessions else [f"{RUN_FILE}: it lists no session: nothing ran"]
    for number, session in enumerate(info.sessions, 1):
        label = f"session {number} of {len(info.sessions)}, begun {session.started}"
        if session.ended is None:
            problems.append(f"{RUN_FILE}: {label}: it has no end: it was killed, or is still running")
        elif session.exit_status not in ENDS:
            problems.append(f"{RUN_FILE}: {label}: it ended with exit code {session.exit_status}: not all of it ran")
    if all(session.ended for session in info.sessions):
        problems += [_difference(directory / name, known) for name, known in info.files.items()]
    return [problem for problem in problems if problem]


def _difference(path: Path, sha256: str) -> str:
    """Why a file is not the one that the run closed with; empty if it is."""
    if not path.is_file():
        return f"{path.name}: removed after the run ended"
    found = file_sha256(path)
    return "" if found == sha256 else f"{path.name}: changed after the run ended (SHA-256 {found}, expected {sha256})"


def _write(path: Path, info: RunInfo) -> None:
    write_file(path, json.dumps(info.model_dump(), indent=1) + "\n")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
