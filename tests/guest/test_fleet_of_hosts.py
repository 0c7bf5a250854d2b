"""`hornetos fleet run` with real runs and guests: of a host that loses its power, only its own work is missing.

The hosts are network namespaces of this machine, each with its own sshd and HORNET_HOME.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from hornet.host.workspace import Workspace
from hornet.remote.fleet_file import FleetFile, read_fleet
from hornet.results.outcomes import OUTCOMES_FILE, Result
from hornet.results.run import load_run
from hornet.snapshot import Bundle
from hornet.spec.lane import Lane
from hornet.vm.guest import SshKey
from tests.support.host_fleet import SSHD, LabHost, Site, await_true, site

pytestmark = [
    pytest.mark.guest,
    pytest.mark.skipif(SSHD is None, reason="not judged: no sshd: apt-get install openssh-server"),
]
NAMES = ("kept", "lost")
ENDED_S = 500
TIMEOUT_S = 1200


@pytest.fixture
def lab(tmp_path: Path, key: SshKey) -> Iterator[Site]:
    with site(tmp_path, f"hg{secrets.token_hex(3)}", NAMES) as made:
        for host in made.hosts.values():
            host.install_real(key.private_path.parent)
        yield made


def ended(lab: Site, *words: str) -> tuple[int, str]:
    process = lab.start(*words)
    output, _ = process.communicate(timeout=ENDED_S)
    return process.returncode, output


def state(lab: Site) -> tuple[Path, FleetFile]:
    (directory,) = (lab.directory / "home" / "fleets").iterdir()
    return directory, read_fleet(directory)


def in_the_middle(host: LabHost) -> bool:
    """Whether tests have ended there, and guests are running."""
    workspace = Workspace(host.home)
    outcomes = [path for path in workspace.reports.glob(f"*/{OUTCOMES_FILE}") if path.stat().st_size]
    return bool(outcomes) and any((workspace.run / "vms").glob("*"))


def processes_of(host: LabHost) -> list[str]:
    """The command lines of processes, wherever they are, that use files of a host."""
    home = str(host.directory).encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if home in words:
            found.append(words.replace(b"\0", b" ").decode())
    return found


@pytest.mark.timeout(TIMEOUT_S)
def test_a_host_killed_in_the_middle_of_its_run_is_named_and_resumed(
    lab: Site, bundle: Bundle, kernel: Path, lane: Lane
) -> None:
    lost = lab.hosts["lost"]
    file = str(lab.hosts_file())
    process = lab.start(
        *("--hosts", file, "--quick", "--lane", str(lane)),
        *("--snapshot", str(bundle.directory), "--kernel", str(kernel)),
    )
    await_true(lambda: in_the_middle(lost), ENDED_S)
    lost.power_off()
    output, _ = process.communicate(timeout=ENDED_S)
    directory, fleet = state(lab)
    assert process.returncode == 2, output
    assert list(fleet.missing) == ["lost"], output
    assert fleet.missing["lost"].reason.startswith("lost: the connection ended")
    await_true(lambda: processes_of(lost) == [])
    first = load_run(directory / "hosts" / "kept")
    assert first.problems == []

    lost.power_on()
    code, output = ended(lab, "--hosts", file, "--resume", directory.name)
    _, fleet = state(lab)
    assert (code, fleet.missing) == (2, {}), output
    assert "not judged on 2 of 2 hosts\n" in output, "a quick run is never enough"
    assert fleet.hosts["kept"].tries == [directory.name]
    assert fleet.hosts["lost"].came_back == f"{directory.name}-2"
    runs = [load_run(directory / "hosts" / name) for name in NAMES]
    tests = [{case.test for case in run.cases} for run in runs]
    assert tests[0] == tests[1]
    # Not the same results: on a busy machine a test may time out in one of them.
    for run in runs:
        assert any(case.result is Result.PASSED and case.lane == str(lane) for case in run.cases), "guests answered"
    assert runs[0].subject == runs[1].subject == first.subject
    page = (directory / "fleet.html").read_text()
    assert all(f"hosts/{name}/report.html" in page for name in NAMES)
