"""A fleet of hosts with real SSH: one is lost in the middle, one was off, one has a wrong key, one another version."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from hornet import __version__
from hornet.remote.fleet_file import FleetFile, read_fleet
from hornet.results.run import load_run
from tests.support.host_fleet import SSHD, Site, await_true, site

pytestmark = [
    pytest.mark.skipif(SSHD is None, reason="not judged: no sshd: apt-get install openssh-server"),
    pytest.mark.skipif(os.geteuid() != 0, reason="not judged: only root makes network namespaces"),
]
OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIXBl3wSDOdTm9sdGFqU1zsjUKDBJ3DJNOk9FNK8eTk7"
ENDED_S = 150


@pytest.fixture
def lab(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    """A site whose hosts are named by the test's parameter."""
    with site(tmp_path, f"hf{secrets.token_hex(3)}", request.param) as made:
        yield made


def ended(lab: Site, *words: str) -> tuple[int, str]:
    """The exit code and the output of `hornetos fleet run`."""
    process = lab.start(*words)
    output, _ = process.communicate(timeout=ENDED_S)
    return process.returncode, output


def fleet_of(lab: Site) -> tuple[Path, FleetFile]:
    (directory,) = (lab.directory / "home" / "fleets").iterdir()
    return directory, read_fleet(directory)


@pytest.mark.parametrize("lab", [["good", "lost", "key", "old", "off"]], indirect=True)
def test_each_lost_host_is_named_and_resumed(lab: Site) -> None:
    good, lost = lab.hosts["good"], lab.hosts["lost"]
    lab.hosts["old"].install("0.0.1")
    lab.hosts["off"].power_off()
    process = lab.start("--hosts", str(lab.hosts_file(key=f'host_key = "{OTHER_KEY}"')))
    await_true(lambda: good.begun.exists() and lost.begun.exists())
    lost.power_off()
    good.go_on()
    output, _ = process.communicate(timeout=ENDED_S)
    directory, fleet = fleet_of(lab)
    assert process.returncode == 2, output
    assert "not judged on 5 of 5 hosts; the work of 4 is missing" in output
    reasons = {name: state.reason for name, state in fleet.missing.items()}
    assert list(reasons) == ["lost", "key", "old", "off"]
    assert reasons["off"].startswith("unreachable: ")
    assert reasons["lost"].startswith("lost: the connection ended")
    assert reasons["key"].startswith("wrong host key: it showed ssh-ed25519 SHA256:")
    assert "suite 0.0.1" in reasons["old"]
    assert __version__ in reasons["old"]
    assert "\x1b" not in output
    assert load_run(directory / "hosts" / "good").problems == []
    page = (directory / "fleet.html").read_text()
    assert all(f"missing: {reason}".replace("'", "&#39;") in page for reason in reasons.values())
    assert "hosts/good/report.html" in page
    assert (directory / "hosts/good/report.html").is_file()

    lab.hosts["old"].install(__version__)
    lost.power_on()
    lab.hosts["off"].power_on()
    good.begun.unlink()
    for host in lab.hosts.values():
        host.go_on()
    code, output = ended(lab, "--hosts", str(lab.hosts_file()), "--resume", directory.name)
    _, fleet = fleet_of(lab)
    assert (code, fleet.missing) == (2, {}), output
    assert not good.begun.exists()
    assert fleet.hosts["lost"].came_back == f"{directory.name}-2"
    assert "not judged on 5 of 5 hosts\n" in output


@pytest.mark.parametrize("lab", [["slow"]], indirect=True)
def test_a_slow_host_is_ended_and_named(lab: Site) -> None:
    code, output = ended(lab, "--hosts", str(lab.hosts_file()), "--limit-minutes", "0.2")
    assert code == 2
    assert "slow: missing: slow: it did not end within the plan's limit" in output


@pytest.mark.parametrize("lab", [["a", "b"]], indirect=True)
def test_hosts_with_different_artifacts_run_nothing(lab: Site) -> None:
    for name, host in lab.hosts.items():
        host.home.mkdir()
        (host.home / "vmlinux").write_text(name)
    file = lab.hosts_file()
    # The same path on both, as on two machines.
    for name, host in lab.hosts.items():
        command = host.directory / "hornetos"
        command.write_text(command.read_text().replace('"$@"', f'"${{@/KERNEL/{name}}}"', 1))
    code, output = ended(lab, "--hosts", str(file), "--kernel", f"{lab.directory}/KERNEL/home/vmlinux")
    assert code == 2
    assert re.search(r"--kernel: hosts have different ones: [0-9a-f]{12} on a; [0-9a-f]{12} on b", output)
    assert not any(host.begun.exists() for host in lab.hosts.values())


@pytest.mark.parametrize("lab", [["a"]], indirect=True)
def test_results_edited_on_the_host_do_not_come_back(lab: Site) -> None:
    host = lab.hosts["a"]
    command = host.directory / "hornetos"
    edit = f"; echo >>{host.home}/reports/*/records.jsonl; exit 0"
    command.write_text(command.read_text().replace("exec", "", 1).replace('host_fleet "$@"', f'host_fleet "$@"{edit}'))
    host.go_on()
    code, output = ended(lab, "--hosts", str(lab.hosts_file()))
    directory, fleet = fleet_of(lab)
    assert code == 2
    assert "records.jsonl: changed after the run ended" in fleet.hosts["a"].reason, output
    assert not (directory / "hosts" / "a").exists()
    assert json.loads((directory / "fleet.json").read_text())["hosts"]["a"]["came_back"] is None
