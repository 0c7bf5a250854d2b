"""What a host sends back is kept only if it is a run, complete, unedited, of bounded size. OpenSSH's SFTP serves it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
import pytest

from hornet import __version__
from hornet.errors import HornetError
from hornet.remote import fetch
from hornet.results.run import load_run
from hornet.results.run_info import spec_sha256
from hornet.spec.model import load_spec
from tests.support.synthetic_run import make_run

SERVER = shutil.which("sftp-server", path="/usr/lib/openssh:/usr/libexec/openssh:/usr/lib/ssh")
pytestmark = pytest.mark.skipif(SERVER is None, reason="not judged: no sftp-server: apt-get install openssh-server")


class NamedSocket(socket.socket):
    """A socket with the one method of a channel that paramiko's log asks for."""

    def get_name(self) -> str:
        return "test"


@pytest.fixture
def sftp() -> Iterator[paramiko.SFTPClient]:
    one, theirs = socket.socketpair()
    with NamedSocket(fileno=one.detach()) as ours, theirs:
        server = subprocess.Popen([str(SERVER)], stdin=theirs.fileno(), stdout=theirs.fileno())
        theirs.close()
        try:
            yield paramiko.SFTPClient(ours)  # type: ignore[arg-type]  # it has what a channel has
        finally:
            server.kill()
            server.wait()


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    run = make_run(tmp_path / "remote" / "run")
    (run / "evidence" / "01-vm1").mkdir(parents=True)
    (run / "evidence" / "01-vm1" / "console.log").write_text("booted\n")
    return run


def brought(sftp: paramiko.SFTPClient, remote: Path, target: Path, suite: str = __version__) -> Path:
    fetch.fetch_run(sftp, str(remote), target, suite=suite, spec_sha256=spec_sha256(load_spec()))
    return target


def test_an_intact_run_comes_back_with_its_evidence(sftp: paramiko.SFTPClient, remote: Path, tmp_path: Path) -> None:
    (remote / "secret").write_text("not of a run")
    target = brought(sftp, remote, tmp_path / "here")
    assert load_run(target).records == load_run(remote).records
    assert load_run(target).problems == []
    assert (target / "evidence/01-vm1/console.log").read_text() == "booted\n"
    assert not (target / "secret").exists()


def _edit(run: Path) -> None:
    (run / "outcomes.jsonl").write_text("")


def _link(run: Path) -> None:
    (run / "records.jsonl").unlink()
    (run / "records.jsonl").symlink_to("/etc/passwd")


def _hostile_name(run: Path) -> None:
    (run / "evidence" / "a\x1b[31m").write_text("")


def _not_text(run: Path) -> None:
    (run / "evidence" / os.fsdecode(b"\xff")).write_text("")


def _link_in_evidence(run: Path) -> None:
    (run / "evidence" / "log").symlink_to("/etc/passwd")


def _foreign_names(run: Path) -> None:
    text = (run / "run.json").read_text()
    (run / "run.json").write_text(text.replace('"records.jsonl"', '"../../../etc/passwd"'))


def _unfinished(run: Path) -> None:
    text = (run / "run.json").read_text()
    (run / "run.json").write_text(text.replace('"exit_status": 0', '"exit_status": null'))


FAULTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "edited": (_edit, "outcomes.jsonl: changed after the run ended"),
    "a link": (_link, "not a regular file"),
    "a hostile name": (_hostile_name, "hostile name"),
    "a link among the evidence": (_link_in_evidence, "neither a file nor a directory"),
    "a file that no run has": (_foreign_names, "names a file that no run has"),
    "no end": (_unfinished, "exit code None"),
    "no run": (lambda run: (run / "run.json").unlink(), "run.json: missing"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_run_leaves_nothing_here(sftp: paramiko.SFTPClient, remote: Path, tmp_path: Path, fault: str) -> None:
    change, said = FAULTS[fault]
    change(remote)
    with pytest.raises(HornetError, match=said):
        brought(sftp, remote, tmp_path / "here")
    assert [path.name for path in tmp_path.iterdir()] == ["remote"]


def test_a_name_that_is_not_text_is_refused(sftp: paramiko.SFTPClient, remote: Path, tmp_path: Path) -> None:
    _not_text(remote)
    with pytest.raises((HornetError, UnicodeError)):
        brought(sftp, remote, tmp_path / "here")
    assert [path.name for path in tmp_path.iterdir()] == ["remote"]


def test_a_run_of_another_suite_is_refused(sftp: paramiko.SFTPClient, remote: Path, tmp_path: Path) -> None:
    with pytest.raises(HornetError, match="of another suite or specification"):
        brought(sftp, remote, tmp_path / "here", suite="9")


def test_too_much_is_not_read(
    sftp: paramiko.SFTPClient, remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "MAX_RUN_BYTES", 1000)
    with pytest.raises(HornetError, match="of the whole run"):
        brought(sftp, remote, tmp_path / "here")
