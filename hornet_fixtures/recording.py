"""Chooses the run directory HORNET_HOME/reports/<run>/ and writes what was measured to it: records.jsonl, host.json,
artifacts.json. Outcomes are written by hornet_fixtures/outcomes.py."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from builders.distros import DEFAULT_DISTRO
from hornet.errors import HostError
from hornet.host.artifact_store import file_sha256
from hornet.host.checkout_owner import give_to_owner
from hornet.host.durable import write_file
from hornet.host.facts import fingerprint
from hornet.host.revision import source_revision
from hornet.host.workspace import Workspace
from hornet.results.benchmarks import BENCHMARKS_DIRECTORY
from hornet.results.collected import COLLECTED_FILE
from hornet.results.outcomes import OUTCOMES_FILE
from hornet.results.records import DISTRO, RECORDS_FILE, Dimensions, Failure, Record, append_record
from hornet.results.run import ARTIFACTS_FILE, HOST_FILE, JUNIT_FILE
from hornet.results.run_info import RUN_FILE, SPEC_FILE
from hornet.snapshot import Bundle
from hornet.snapshot.bundle import UNSEALED_WARNING
from hornet.spec.lane import Lane
from hornet.spec.model import Spec
from hornet.vmm.registry import vmm_programs
from hornet_fixtures.noise import noise_until_now
from hornet_fixtures.under_test import Image

RUN_DIRECTORY = pytest.StashKey[Path]()
DEFAULT_STORAGE = "file://./.benchmarks"


def configure_run(config: pytest.Config) -> None:
    """Choose the run directory. Saved benchmarks go beside it unless the command line sets another place."""
    if hasattr(config, "workerinput"):
        directory = Path(config.workerinput["hornet_run_directory"])
    else:
        given = config.getoption("run_dir")
        name = time.strftime(f"%Y%m%d-%H%M%S-{os.getpid()}")
        directory = Path(given) if given else Workspace.from_env().path("reports", name)
    config.stash[RUN_DIRECTORY] = directory.resolve()
    _check_writable(directory.resolve())
    if not (config.option.xmlpath or config.option.collectonly or hasattr(config, "workerinput")):
        config.option.xmlpath = str(directory.resolve() / JUNIT_FILE)
    if config.getoption("benchmark_storage", None) == DEFAULT_STORAGE:
        config.option.benchmark_storage = f"file://{Workspace.from_env().reports / BENCHMARKS_DIRECTORY}"


def _check_writable(directory: Path) -> None:
    """Raises HostError if the run could not write its results. Without this check it would fail only at its end."""
    there = next(path for path in (directory, *directory.parents) if path.is_dir())
    if not os.access(there, os.W_OK):
        raise HostError(
            f"{directory}: not writable, so this run could not save its results",
            "set HORNET_HOME, or use --run-dir=DIR",
        )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the run directory if anything was recorded. End with the warning of --no-seal, where everybody sees it."""
    directory = config.stash[RUN_DIRECTORY]
    if is_recorded(directory):
        terminalreporter.write_line(f"recorded in {directory}; its report: hornetos report {directory.name}")
    if config.getoption("no_seal"):
        terminalreporter.write_line(UNSEALED_WARNING, red=True, bold=True)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the directory of a run without records, such as the self-tests. Give the rest to the checkout's owner."""
    directory = config.stash.get(RUN_DIRECTORY, None)
    if (
        directory
        and not hasattr(config, "workerinput")
        and not config.getoption("run_dir")
        and not is_recorded(directory)
    ):
        for name in (JUNIT_FILE, COLLECTED_FILE, OUTCOMES_FILE, RUN_FILE, SPEC_FILE):
            (directory / name).unlink(missing_ok=True)
        if directory.is_dir() and not any(directory.iterdir()):
            directory.rmdir()
    if not hasattr(config, "workerinput"):
        give_to_owner(Workspace.from_env())


def is_recorded(directory: Path) -> bool:
    """Whether a run left results about an image; the self-tests do not."""
    return any((directory / name).exists() for name in (RECORDS_FILE, ARTIFACTS_FILE))


@pytest.fixture(scope="session")
def run_directory(pytestconfig: pytest.Config) -> Path:
    """The directory of this run's records and results."""
    directory = pytestconfig.stash[RUN_DIRECTORY]
    directory.mkdir(parents=True, exist_ok=True)
    return directory


@pytest.fixture(scope="session")
def host() -> dict[str, Any]:
    """The host's fingerprint, stored with every record."""
    return fingerprint(vmm_programs())


@pytest.fixture(scope="session")
def of_image(pytestconfig: pytest.Config) -> dict[str, str]:
    """The dimensions that set this run's image apart from one of the default distribution."""
    distro = pytestconfig.getoption("distro")
    return {} if distro == DEFAULT_DISTRO else {DISTRO: distro}


@pytest.fixture(scope="session")
def record(
    run_directory: Path, host: dict[str, Any], spec: Spec, pytestconfig: pytest.Config, of_image: dict[str, str]
) -> Callable[..., Record]:
    """Write a record: record(name, value, lane=…, dimensions=…, samples=…, parts=…, subject=…); returns it.

    The spec defines the unit and which direction is better. An unknown name is an error (Spec.quantity).
    """
    write_file(run_directory / HOST_FILE, json.dumps(host, indent=2) + "\n")

    def write(
        name: str, value: float, *, lane: Lane | None = None, dimensions: Dimensions | None = None, **values: Any
    ) -> Record:
        quantity = spec.quantity(name)
        made = Record(
            name=name,
            value=value,
            unit=quantity.unit,
            direction=quantity.direction,
            lane=str(lane) if lane else None,
            host=host,
            dimensions={**(dimensions or {}), **of_image},
            machine=_machine(spec) if lane else {},
            **_origin(pytestconfig),
            **values,
        )
        append_record(run_directory, made)
        return made

    return write


@pytest.fixture(scope="session")
def record_runs(
    run_directory: Path,
    host: dict[str, Any],
    lane: Lane,
    spec: Spec,
    pytestconfig: pytest.Config,
    of_image: dict[str, str],
) -> Callable[..., Record]:
    """Write one record of repeated runs, each a dictionary of disjoint parts: record_runs(name, runs, clones=4, …).

    failures: the repetitions that gave no parts. sessions: the session of each repetition. subject: SHA-256 of what was
    measured, by kind.
    """

    def write(
        name: str,
        runs: Sequence[Mapping[str, float]],
        *,
        failures: Sequence[Failure] = (),
        sessions: Sequence[int] = (),
        subject: Mapping[str, str] | None = None,
        **dimensions: str | int | float,
    ) -> Record:
        quantity = spec.quantity(name)
        made = Record.of_runs(
            name,
            runs,
            unit=quantity.unit,
            direction=quantity.direction,
            lane=str(lane),
            host=host,
            dimensions={**dimensions, **of_image},
            failures=list(failures),
            sessions=list(sessions),
            subject=dict(subject or {}),
            **_origin(pytestconfig),
            machine=_machine(spec),
        )
        append_record(run_directory, made)
        return made

    return write


def _machine(spec: Spec) -> dict[str, str | int | float]:
    return {"memory_mib": spec.machine.memory_mib, "vcpus": spec.machine.vcpus}


def _origin(config: pytest.Config) -> dict[str, Any]:
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": source_revision(),
        "noise": noise_until_now(config),
    }


@pytest.fixture(scope="session")
def booted_subject(kernel: Path, image: Image) -> dict[str, str]:
    """SHA-256 of the kernel and of the image that a measurement boots."""
    return {"kernel": file_sha256(kernel), "rootfs": file_sha256(image.path)}


@pytest.fixture(scope="session")
def restored_subject(bundle: Bundle) -> dict[str, str]:
    """SHA-256 of the snapshot that a measurement restores, of its manifest, and of the kernel that it booted."""
    manifest = bundle.manifest()
    kernel = manifest.origin.kernel_sha256
    return {"snapshot": manifest.self_sha256, **({"kernel": kernel} if kernel else {})}


@pytest.fixture(scope="session")
def artifacts(run_directory: Path) -> Callable[[str, dict[str, Any]], None]:
    """Write the facts of an artifact under its name to artifacts.json."""

    def note(name: str, facts: dict[str, Any]) -> None:
        path = run_directory / ARTIFACTS_FILE
        # The xdist workers share the file.
        with FileLock(f"{path}.lock"):
            known = json.loads(path.read_text()) if path.exists() else {}
            write_file(path, json.dumps({**known, name: facts}, indent=2) + "\n")

    return note


def bundle_facts(bundle: Bundle) -> dict[str, Any]:
    """The facts of a snapshot that a report shows."""
    return {"directory": bundle.directory.name, **bundle.manifest().model_dump(exclude={"superblock"})}
