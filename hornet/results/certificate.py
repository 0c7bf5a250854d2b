"""A certificate: one archive with everything that a run's decision stands on, hashed and signed.

The archive is a ZIP file. certificate.json names the run, its decision, and the SHA-256 of every other file in it;
certificate.json.sig is its SSH signature. Whoever verifies it decides anew, from the files.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hornet import __version__
from hornet.errors import HostError
from hornet.foreign_file import ForeignFileError, first_problem, open_foreign, parse_json
from hornet.results.gate import Answer, Decision
from hornet.results.outcomes import Result
from hornet.results.run import Run
from hornet.results.run_end import DEMANDS, RESULTS
from hornet.results.run_info import RUN_FILE
from hornet.results.signing import sign, signer
from hornet.spec.requirements import Requirement

CERTIFICATE_FILE = "certificate.json"
SIGNATURE_FILE = f"{CERTIFICATE_FILE}.sig"
FORMAT = 1
NO_CERTIFICATE = "it is not a certificate, or it is damaged"
MAX_ARCHIVE_BYTES = 256 << 20
MAX_FILES = 2_000
# Of a ZIP archive: the earliest time that it can hold. The same run gives the same archive.
EPOCH = (1980, 1, 1, 0, 0, 0)

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Certificate(BaseModel):
    """The content of certificate.json. requirements: SHA-256 of all requirements. files: SHA-256 by name."""

    model_config = ConfigDict(extra="forbid", strict=True)

    format: int = FORMAT
    suite: str
    commit: str | None
    run: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    answer: str
    headline: str
    requirements: Sha256
    subject: dict[str, str]
    waived: list[str]
    files: dict[str, Sha256]


@dataclass(frozen=True)
class Opened:
    """An archive whose hashes are right. signed_by: whose signature it is. run_directory: where it was unpacked."""

    certificate: Certificate
    signed_by: str
    run_directory: Path


def requirements_sha256(requirements: Mapping[str, Requirement]) -> str:
    """What identifies the requirements by which a run was judged."""
    data = {key: requirement.model_dump(mode="json") for key, requirement in requirements.items()}
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def refusals(run: Run, decision: Decision) -> list[str]:
    """One sentence for each reason why a run gets no certificate: partial, failed, over-waived or flaky."""
    reasons = []
    if decision.answer is not Answer.PASSED:
        reasons += [f"partial or failed: {sentence}" for sentence in (*decision.failures, *decision.unjudged)]
    if run.info and run.info.rerun_of:
        reasons.append(f"flaky: it repeats the failed tests of run {run.info.rerun_of}: run everything again")
    reasons += [f"flaky: {test} has several results" for test in run.flaky]
    return reasons


def write_certificate(
    archive: Path, run: Run, decision: Decision, requirements: Mapping[str, Requirement], key: Path, work: Path
) -> Certificate:
    """Write the archive of a run that passed. key: a private SSH key. work: an empty directory.

    Raises HostError for a full disk, and CommandError if ssh-keygen cannot sign with the key.
    """
    files = {str(path.relative_to(run.directory)): path for path in _files(run)}
    certificate = Certificate(
        suite=run.suite or __version__,
        commit=run.info.commit if run.info else None,
        run=run.name,
        answer=decision.answer,
        headline=decision.headline,
        requirements=requirements_sha256(requirements),
        subject=run.subject,
        waived=[row.id for row in decision.rows if row.result is Result.WAIVED],
        files={name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in sorted(files.items())},
    )
    text = json.dumps(certificate.model_dump(), indent=1) + "\n"
    signature = sign(text, key, work)
    try:
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
            _add(made, CERTIFICATE_FILE, text.encode())
            _add(made, SIGNATURE_FILE, signature.encode())
            for name, path in sorted(files.items()):
                _add(made, name, path.read_bytes())
    except OSError as error:
        raise HostError(
            f"{archive}: {error.strerror}", "name a file in a writable directory with free space"
        ) from error
    return certificate


def _files(run: Run) -> Iterator[Path]:
    """The results, what was demanded, and the evidence of tests that did not pass."""
    for name in (RUN_FILE, *RESULTS, *DEMANDS):
        if (run.directory / name).is_file():
            yield run.directory / name
    for case in run.cases:
        for place in case.evidence if case.result is not Result.PASSED else ():
            yield from (path for path in sorted((run.directory / place).rglob("*")) if path.is_file())


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, EPOCH), content, zipfile.ZIP_DEFLATED)


def open_certificate(archive: Path, allowed_signers: Path, directory: Path) -> Opened:
    """Check hashes and signature of an archive, and unpack it into an empty directory.

    Raises ForeignFileError that names what is missing, added, changed or not signed by an allowed signer.
    """
    content = _content(archive)
    try:
        text, signature = content.pop(CERTIFICATE_FILE), content.pop(SIGNATURE_FILE)
        certificate = Certificate.model_validate(parse_json(text))
    except KeyError as error:
        raise ForeignFileError(f"{archive}: it has no {error.args[0]}", NO_CERTIFICATE) from error
    except ValidationError as error:
        raise ForeignFileError(
            f"{archive}: {CERTIFICATE_FILE}: {first_problem(error)}", "it is not a certificate"
        ) from error
    signed_by = signer(text, signature, allowed_signers, directory)
    problems = [f"{name}: missing" for name in certificate.files.keys() - content.keys()]
    problems += [f"{name}: added" for name in content.keys() - certificate.files.keys()]
    problems += [
        f"{name}: changed" for name, data in content.items() if certificate.files.get(name) not in (None, _sha256(data))
    ]
    if problems:
        raise ForeignFileError(
            f"{archive}: {'; '.join(sorted(problems))}", "ask its maker for the archive as it was signed"
        )
    opened = Opened(certificate, signed_by, directory / "content" / certificate.run)
    for name, data in content.items():
        path = opened.run_directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return opened


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _content(archive: Path) -> dict[str, bytes]:
    """The files of an archive by name. Raises ForeignFileError for one that is damaged, too big or has odd names."""
    try:
        with open_foreign(archive, MAX_ARCHIVE_BYTES) as stream, zipfile.ZipFile(stream) as opened:
            entries = opened.infolist()
            if len(entries) > MAX_FILES or sum(entry.file_size for entry in entries) > MAX_ARCHIVE_BYTES:
                size = f"{MAX_FILES} files or {MAX_ARCHIVE_BYTES} bytes"
                raise ForeignFileError(f"{archive}: more than {size}", NO_CERTIFICATE)
            content: dict[str, bytes] = {}
            for entry in entries:
                if not _is_plain(entry.filename) or entry.filename in content:
                    raise ForeignFileError(
                        f"{archive}: a file is called {entry.filename[:200]!r}", "it is not a certificate"
                    )
                with opened.open(entry) as file:
                    # Not more than it announced: a ZIP file may hold more than its directory says.
                    content[entry.filename] = file.read(entry.file_size + 1)
            return content
    except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError, RuntimeError) as error:
        raise ForeignFileError(
            f"{archive}: not a ZIP archive: {error}", "it is not a certificate, or it is damaged"
        ) from error


def _is_plain(name: str) -> bool:
    """Whether a name is a relative path of printable characters without `..`."""
    parts = PurePosixPath(name).parts
    plain = name.isascii() and name.isprintable() and "\\" not in name
    return plain and bool(parts) and "/".join(parts) == name and not {"..", "/"} & set(parts)
