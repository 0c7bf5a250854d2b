"""What a VMM may do on the host, shown by ordinary programs that are started as one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hornet.errors import HostError, VMError
from hornet.host.proc import is_running
from hornet.installation import SOURCE
from hornet.vmm.cell import Cell
from hornet.vmm.process import Rights, claimed, open_given, opened, prepare_jail, start_vmm


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """The strictest umask: what a VMM's user must reach, it reaches anyway."""
    before = os.umask(0o077)
    yield
    os.umask(before)


USER = 1_900_065_000
TIMEOUT_S = 20
FILE_BYTES = 1 << 20
CONFINED = Rights(USER, FILE_BYTES)
GROUP = 1_900_065_001
CAPABILITY_SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
# Says what rights the process has that runs the payload.
PAYLOAD_RIGHTS = """
from pathlib import Path
from hornet.vm import kvm
kvm.KVM_DEVICE = Path("/dev/null")
kvm.run_payload = lambda device: print(Path("/proc/self/status").read_text()) or (kvm.ANSWER, True)
kvm.main()
"""
# dash counts files in blocks of 512 bytes.
LOW_LIMITS = f"""
import resource, sys
from pathlib import Path
from hornet.vmm.process import Rights, start_vmm
resource.setrlimit(resource.RLIMIT_NPROC, (200, 200))
resource.setrlimit(resource.RLIMIT_FSIZE, ({FILE_BYTES}, {FILE_BYTES}))
start_vmm(["sh", "-c", "ulimit -p; ulimit -f"], Rights(USER, 1 << 40), log=Path(sys.argv[1])).wait()
"""
# Starts a VMM, says its process id, and waits for its end.
STARTER = """
import sys, time
from pathlib import Path
from hornet.vmm.process import Rights, start_vmm
print(start_vmm(["sleep", "60"], Rights(USER, 0), log=Path(sys.argv[1])).pid, flush=True)
time.sleep(60)
"""


@contextmanager
def running(rights: Rights, log: Path) -> Iterator[int]:
    """The process id of a `sleep`, as soon as it is one."""
    process = start_vmm(["sleep", "60"], rights, log=log)
    try:
        await_program(process.pid, "sleep")
        yield process.pid
    finally:
        process.kill()
        process.wait()


def await_program(pid: int, name: str) -> None:
    deadline_s = time.monotonic() + TIMEOUT_S
    while Path(f"/proc/{pid}/comm").read_text().strip() != name:
        assert time.monotonic() < deadline_s, f"process {pid} never became {name}"
        time.sleep(0.01)


def status(pid: int) -> dict[str, str]:
    return parsed(Path(f"/proc/{pid}/status").read_text())


def parsed(status: str) -> dict[str, str]:
    return {name: value.strip() for name, _, value in (line.partition(":") for line in status.splitlines())}


def output_of(script: str, tmp_path: Path, rights: Rights = CONFINED) -> str:
    """What a shell script prints that runs in the place of a VMM."""
    log = tmp_path / "vmm.log"
    start_vmm(["sh", "-c", script], rights, log=log).wait(TIMEOUT_S)
    return log.read_text()


def test_a_vmm_starts_where_path_leads_to_it_by_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PATH may contain links, as in a user's profile: the jail does not contain their targets."""
    prepare_jail()
    links = tmp_path / "bin"
    links.mkdir()
    for name in ("prlimit", "setpriv", "sh"):
        found = shutil.which(name)
        assert found
        (links / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(links))
    assert output_of("echo started", tmp_path) == "started\n"


def test_a_vmm_that_the_jail_hides_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "vmm"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(HostError, match=f"{program}: not under /usr"):
        start_vmm(["vmm"], CONFINED, log=tmp_path / "vmm.log")


@pytest.fixture
def in_a_group() -> Iterator[None]:
    """This process is in a group of its own choice, as root is on many machines."""
    before = os.getgroups()
    os.setgroups([USER])
    yield
    os.setgroups(before)


@contextmanager
def in_cell(work: Path, **files: Path) -> Iterator[Rights]:
    """The rights of Firecracker, with what it sees of its own."""
    os.chown(work, USER, USER)
    with opened("cells", lambda: Cell(work, files)) as cell:
        yield Rights(USER, FILE_BYTES, groups=[GROUP], cell=cell)


def test_a_vmm_has_no_rights(in_a_group: None, tmp_path: Path) -> None:
    with in_cell(tmp_path) as rights:
        for each, groups in ((CONFINED, []), (rights, [str(GROUP)])):
            with running(each, tmp_path / "vmm.log") as pid:
                found = status(pid)
            assert found["Uid"].split() == found["Gid"].split() == [str(USER)] * 4
            assert found["Groups"].split() == groups
            assert {name: int(found[name], 16) for name in CAPABILITY_SETS} == dict.fromkeys(CAPABILITY_SETS, 0)
            assert found["NoNewPrivs"] == "1"


def test_a_cell_shows_its_files_and_nothing_else(tmp_path: Path) -> None:
    memory, work = tmp_path / "vm.mem", tmp_path / "work"
    memory.write_text("needle\n")
    memory.chmod(0o640)
    os.chown(memory, 0, GROUP)
    work.mkdir()
    script = """
        pwd; cat ../memory; echo x >>../memory; echo mine >written; cat written
        ls /; ls /dev; ls /vms; ls ..; touch ../x; unshare --user true; cat ../../../../../etc/passwd
    """
    with in_cell(work, memory=memory) as rights:
        said = output_of(script, tmp_path, rights)
    assert said.count("needle") == said.count("mine") == 1
    assert "../memory: Read-only file system" in said or "../memory: Permission denied" in said
    for refused in ("directory '/vms': Permission", "'..': Permission", "touch '../x'", "/etc/passwd: No such file"):
        assert refused in said, said
    assert "Operation not permitted" in said, "it made a user namespace"
    assert (memory.read_text(), (work / "written").stat().st_uid) == ("needle\n", USER)


def test_a_cell_leaves_nothing(tmp_path: Path) -> None:
    """Neither on the host nor, for other VMMs, in the jail."""
    before = Path("/proc/self/mountinfo").read_text()
    work = tmp_path / "work"
    work.mkdir()
    with in_cell(work) as rights, running(rights, tmp_path / "vmm.log") as pid:
        assert Path("/proc/self/mountinfo").read_text() == before
        root = Path(f"/proc/{pid}/root/vms")
        cells = set(os.listdir(root))
        with in_cell(work):
            assert len(os.listdir(root)) == len(cells) + 1
        assert set(os.listdir(root)) == cells


def test_the_payload_that_proves_kvm_has_no_rights() -> None:
    argv = [sys.executable, "-c", PAYLOAD_RIGHTS]
    found = parsed(subprocess.run(argv, cwd=SOURCE, capture_output=True, text=True, timeout=60, check=True).stdout)
    assert "0" not in found["Uid"].split()
    assert {name: int(found[name], 16) for name in CAPABILITY_SETS} == dict.fromkeys(CAPABILITY_SETS, 0)


def test_a_vmm_dies_with_whoever_started_it(tmp_path: Path) -> None:
    """The kernel forgets the parent-death signal of a process that changes its user."""
    starter = STARTER.replace("USER", str(USER))
    argv = [sys.executable, "-c", starter, str(tmp_path / "vmm.log")]
    with subprocess.Popen(argv, cwd=SOURCE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        pid = int(process.stdout.readline())
        await_program(pid, "sleep")
        process.kill()
    deadline_s = time.monotonic() + TIMEOUT_S
    while is_running(pid):
        assert time.monotonic() < deadline_s, "the VMM outlived the process that started it"
        time.sleep(0.01)


def test_a_vmm_sees_no_file_of_the_host(tmp_path: Path) -> None:
    programs = {name for name in ("bin", "sbin", "lib", "lib64", "usr") if Path("/", name).exists()}
    seen = output_of("cd /; echo *; ls /dev /etc", tmp_path)
    assert set(seen.split()) == {*programs, "dev", "etc", "hornet", "/dev:", "null", "urandom", "/etc:", "ld.so.cache"}


def test_a_vmm_can_write_nowhere(tmp_path: Path) -> None:
    tried = ("/x", "/usr/x", "/usr/local/x", "/dev/x", "/etc/x", "/hornet/x")
    assert output_of(f"for path in {' '.join(tried)}; do touch $path; done", tmp_path).count("cannot touch") == len(
        tried
    )


def test_a_vmm_has_no_network(tmp_path: Path) -> None:
    assert output_of("ip -o link show", tmp_path).count("\n") == 1


def test_a_vmm_can_make_no_user_namespace(tmp_path: Path) -> None:
    """In a user namespace it would have every capability."""
    assert "Operation not permitted" in output_of("unshare --user true", tmp_path)


def test_vmm_does_not_inherit_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HORNET_TEST_TOKEN", "secret")
    with in_cell(tmp_path) as rights:
        for each in (CONFINED, rights):
            assert "secret" not in output_of("env", tmp_path, each)


def test_a_vmm_leaves_no_core_and_fills_no_disk(tmp_path: Path) -> None:
    said = output_of(f"ulimit -c; yes | head -c {2 * FILE_BYTES}", tmp_path)
    assert said.startswith("0\n")
    assert len(said) == FILE_BYTES


def test_a_limit_that_is_lower_already_stays(tmp_path: Path) -> None:
    """A container's root cannot raise a limit, so no VMM would start."""
    log = tmp_path / "vmm.log"
    argv = [sys.executable, "-c", LOW_LIMITS.replace("USER", str(USER)), str(log)]
    subprocess.run(argv, cwd=SOURCE, timeout=60, check=True)
    assert log.read_text().split() == ["200", str(FILE_BYTES // 512)]


def test_a_file_is_handed_over_by_name_and_for_reading_only(tmp_path: Path) -> None:
    secret = tmp_path / "vm.mem"
    secret.write_text("needle\n")
    secret.chmod(0o600)
    # sed -f opens its script by fopen(), cat and the shell by open().
    script = "cat /hornet/vm.mem; cat </hornet/vm.mem; echo x >>/hornet/vm.mem; sed -f /hornet/vm.mem /dev/null; "
    with open_given(secret) as file:
        said = output_of(
            f"{script} cat /hornet/other", tmp_path, Rights(USER, FILE_BYTES, {"/hornet/vm.mem": file.fileno()})
        )
    assert said.count("needle") == 2
    assert "sed: file /hornet/vm.mem line 1" in said
    assert "/hornet/other: No such file or directory" in said
    assert secret.read_text() == "needle\n"


def test_a_missing_vmm_is_named(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="no-such-vmm: not found"):
        start_vmm(["no-such-vmm"], CONFINED, log=tmp_path / "vmm.log")


def test_second_vmm_on_one_disk_is_rejected(tmp_path: Path) -> None:
    disk, link, log = tmp_path / "disk", tmp_path / "link", tmp_path / "log"
    disk.write_bytes(bytes(4096))
    link.hardlink_to(disk)
    with claimed(disk) as fd:
        first = start_vmm(["sleep", "60"], CONFINED, log=log, pass_fds=[fd])
    try:
        with pytest.raises(VMError, match=r"link \(inode \d+\): another VM uses it"), claimed(link):
            pass
    finally:
        first.kill()
        first.wait()
    with claimed(link):
        pass


def test_what_a_vmm_writes_is_private(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with in_cell(tmp_path) as rights:
            start_vmm(["touch", "made"], rights, log=tmp_path / "vmm.log").wait(TIMEOUT_S)
    finally:
        os.umask(before)
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {"made": 0o600, "vmm.log": 0o600}
