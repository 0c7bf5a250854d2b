"""Where people run it: containers, CI runners and odd disks."""

from __future__ import annotations

import errno
import fcntl
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from hornet.errors import HostError, NetworkError
from hornet.host import conditions
from hornet.host.file_copy import clone_file
from hornet.installation import SOURCE
from hornet.network import HostNet, netns
from hornet.network.sysctl import set_sysctl
from hornet.vmm.qemu.command_line import emulated_boot_args
from hornet.vmm.registry import lane_named
from hornet_cli.pytest_environment import pytest_environment
from hornet_cli.subprocesses import call
from tests.selftest.test_launcher import finished, launch
from tests.selftest.test_network_egress import DEFAULT, on_a_machine
from tests.support.network_samples import NETWORK, prefix

__all__ = ["finished", "prefix"]

READ_ONLY_SYS = "mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys"


# --- The network ------------------------------------------------------------------------------------------------------


def test_read_only_proc_sys_is_no_obstacle_where_the_value_is_right(tmp_path: Path) -> None:
    """As in containers that are started with --sysctl net.ipv4.ip_forward=1; namespaces of VMs begin with 0."""
    script = f"""
        {DEFAULT}; echo 1 >/proc/sys/net/ipv4/ip_forward; {READ_ONLY_SYS}
        $HORNETOS net up; $HORNETOS net check; $HORNETOS net up --private alone-; $HORNETOS net check --private alone-
    """
    assert on_a_machine(script, tmp_path).count("1 of 1 VM networks are correct") == 2


def test_right_value_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "write_text", _refuse(errno.EROFS))
    set_sysctl("net/ipv4/ip_forward", _own_value(), in_own_namespace=False)
    with pytest.raises(NetworkError, match="Read-only"):
        set_sysctl("net/ipv4/ip_forward", "2", in_own_namespace=False)


def _own_value() -> str:
    return Path("/proc/sys/net/ipv4/ip_forward").read_text().strip()


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL])
def test_names_need_no_unnamed_files(code: int, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """/run in some containers is a file system without O_TMPFILE."""
    real = os.open

    def open_without_tmpfile(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(code, os.strerror(code))
        return real(path, flags, *rest, **named)

    monkeypatch.setattr(os, "open", open_without_tmpfile)
    with HostNet.private(NETWORK, prefix) as host:
        host.create(1)
        assert netns.exists(f"{prefix}vm1")
        with pytest.raises(NetworkError, match="already exists"):
            netns.create(f"{prefix}vm1", lambda: None)
    assert not [name for name in os.listdir(netns.RUN_NETNS) if prefix in name]


# --- Copies -----------------------------------------------------------------------------------------------------------

REFUSALS = [errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL]


@pytest.mark.parametrize("code", REFUSALS, ids=errno.errorcode.get)
def test_refused_reflink_becomes_a_sparse_copy(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = sparse_file(tmp_path)
    monkeypatch.setattr(fcntl, "ioctl", _refuse(code))
    assert clone_file(source, tmp_path / "copy") == "sparse"
    assert_same(source, tmp_path / "copy")


@pytest.mark.parametrize("call_name", ["sendfile", "lseek"])
def test_copy_needs_neither_sendfile_nor_knowledge_of_holes(
    call_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, real = sparse_file(tmp_path), getattr(os, call_name)

    def refuse(*arguments: Any) -> Any:
        if call_name == "sendfile" or arguments[2] in (os.SEEK_DATA, os.SEEK_HOLE):
            raise OSError(errno.EINVAL, "refused")
        return real(*arguments)

    monkeypatch.setattr(fcntl, "ioctl", _refuse(errno.EOPNOTSUPP))
    monkeypatch.setattr(os, call_name, refuse)
    assert clone_file(source, tmp_path / "copy") == "sparse"
    assert_same(source, tmp_path / "copy")


def sparse_file(directory: Path) -> Path:
    path = directory / "source"
    with path.open("wb") as stream:
        stream.write(os.urandom(3_000_000))
        stream.seek(9_000_000)
        stream.write(os.urandom(100))
    return path


def assert_same(one: Path, other: Path) -> None:
    assert one.read_bytes() == other.read_bytes()


def _refuse(code: int) -> Any:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return refuse


# --- HORNET_HOME ------------------------------------------------------------------------------------------------------


def test_home_in_memory_is_known() -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        assert conditions.keeps_no_cold_files(Path(memory))
    assert not conditions.keeps_no_cold_files(SOURCE)


def test_relative_home_is_the_same_for_programs_that_are_started(tmp_path: Path) -> None:
    code = "import os; from hornet_cli.main import run; run(['runs']); print(os.environ['HORNET_HOME'])"
    environment = {**os.environ, "HORNET_HOME": "my/home", "PYTHONPATH": str(SOURCE)}
    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == str(tmp_path / "my/home")


# --- The machine ------------------------------------------------------------------------------------------------------


def test_another_architecture_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    conditions.require_architecture()
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(HostError, match="this machine is aarch64, expected x86_64"):
        conditions.require_architecture()


def test_launcher_refuses_another_architecture_before_it_installs(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "uname").write_text("#!/bin/sh\necho riscv64\n")
    (tmp_path / "uname").chmod(0o755)
    done = launch(finished, "host", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert (done.returncode, "this machine is riscv64" in done.stderr) == (2, True)


def test_emulated_clock_is_set_by_the_counter_not_by_the_cores_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On bare metal, "cpu MHz" is what a core does now: 800 on an idle one, while the counter runs at 1920."""
    (tmp_path / "cpuinfo").write_text("cpu MHz\t\t: 1.000\n")
    monkeypatch.setattr(conditions, "CPUINFO", tmp_path / "cpuinfo")
    conditions.tsc_khz.cache_clear()
    args = emulated_boot_args(lane_named("qemu/tcg"))
    (khz,) = [int(word.partition("=")[2]) for word in args.split() if word.startswith("tsc_early_khz=")]
    assert khz == pytest.approx(conditions.measured_tsc_khz(), rel=0.002)
    assert 100_000 < khz < 20_000_000
    conditions.tsc_khz.cache_clear()


def test_without_executable_memory_the_cores_clock_stands_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpuinfo").write_text("cpu MHz\t\t: 2100.500\n")
    monkeypatch.setattr(conditions, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(conditions, "measured_tsc_khz", _refuse(errno.EACCES))
    conditions.tsc_khz.cache_clear()
    assert conditions.tsc_khz() == 2_100_500
    conditions.tsc_khz.cache_clear()
    (tmp_path / "cpuinfo").write_text("processor : 0\n")
    with pytest.raises(HostError, match="cannot be read"):
        conditions.tsc_khz()
    conditions.tsc_khz.cache_clear()


# --- Settings of pytest -----------------------------------------------------------------------------------------------

SETTINGS = {
    "PYTEST_ADDOPTS": "-k nothing_at_all",
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    "PYTEST_PLUGINS": "no_such_plugin",
    "PYTHONOPTIMIZE": "2",
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_of_pytest_do_not_change_a_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, SETTINGS[name])
    environment, left_out = pytest_environment()
    assert f"{name}={SETTINGS[name]}" in left_out
    (tmp_path / "test_one.py").write_text(
        "def test_one(benchmark):\n    assert __debug__\n    benchmark.pedantic(int)\n"
    )
    argv = [sys.executable, "-m", "pytest", "-q", "--rootdir", str(tmp_path), "-c", os.devnull, str(tmp_path)]
    assert call(argv, environment) == 0
    assert call(argv, dict(os.environ)) != 0


def test_temporary_root_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DEBUG_TEMPROOT", "/somewhere")
    assert pytest_environment()[0]["PYTEST_DEBUG_TEMPROOT"] == "/somewhere"
