"""The guest's relay, run on this host: a terminal is its serial line, and its command answers what it reads.

Its vsock is tested with a real guest (tests/guest/test_firecracker_linux.py).
"""

from __future__ import annotations

import os
import pty
import select
import socket
import subprocess
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from builders.rootfs.native import install_programs

TIMEOUT_S = 20
PORT = "1024"
# vsock(7); socket.VMADDR_CID_LOCAL is missing.
VMADDR_CID_LOCAL = 1
COMMAND = """#!/bin/sh
while read -r order; do
    echo "obeyed $order"
done
"""
OWN_MOUNTS = ("unshare", "--mount") if os.geteuid() == 0 else ("unshare", "--map-root-user", "--mount")
ENTER = """set -e
mount -t tmpfs run /run
mkdir /run/hornetos
mount --bind "$1" /dev/console
shift
exec "$@" </dev/null >/dev/null 2>&1
"""


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The relay with a command that reports what it reads."""
    if subprocess.run([*OWN_MOUNTS, "mount", "-t", "tmpfs", "run", "/run"], capture_output=True).returncode:
        pytest.skip("not judged: nothing can be mounted here, not even in a namespace")
    directory = tmp_path_factory.mktemp("relay")
    install_programs(directory)
    script = directory / "command"
    script.write_text(COMMAND)
    script.chmod(0o755)
    return [str(directory / "usr/lib/hornetos/relay"), PORT, str(script)]


@contextmanager
def running(command: list[str], console: str) -> Iterator[subprocess.Popen[bytes]]:
    words = [*OWN_MOUNTS, "sh", "-c", ENTER, "sh", console, *command]
    with subprocess.Popen(words) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(terminal: int, wanted: bytes) -> bytes:
    seen, deadline_s = b"", time.monotonic() + TIMEOUT_S
    while wanted not in seen and time.monotonic() < deadline_s:
        if select.select([terminal], [], [], 0.1)[0]:
            seen += os.read(terminal, 4096)
    return seen


def wait_until_it_runs(process: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + TIMEOUT_S
    while not Path(f"/proc/{process.pid}/root/run/hornetos/answers").exists() and process.poll() is None:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_orders_and_answers_pass_the_serial_line(command: list[str]) -> None:
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    try:
        with running(command, os.ttyname(theirs)) as process:
            os.write(ours, b"hornetos freeze 1\nhornetos refresh 2")
            assert read_until(ours, b"\n") == b"obeyed hornetos freeze 1\n"
            os.write(ours, b" 3\n")
            assert read_until(ours, b"\n") == b"obeyed hornetos refresh 2 3\n"
            answers = Path(f"/proc/{process.pid}/root/run/hornetos/answers")
            answers.write_text("hornetos: flushed 4\n")
            assert read_until(ours, b"\n") == b"hornetos: flushed 4\n"
    finally:
        os.close(ours)
        os.close(theirs)


def test_relay_waits_without_a_serial_line(command: list[str]) -> None:
    """As in a guest whose serial port is off: /dev/console is then /dev/null, which has an end."""
    with running(command, "/dev/null") as process:
        wait_until_it_runs(process)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        spent = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        assert sum(map(int, spent[11:13])) <= 2, "it waits, and does not read the end again and again"


def test_orders_of_a_process_beside_it_are_refused(command: list[str]) -> None:
    with running(command, "/dev/null") as process, socket.socket(socket.AF_VSOCK) as connection:
        wait_until_it_runs(process)
        connection.settimeout(TIMEOUT_S)
        try:
            connection.connect((VMADDR_CID_LOCAL, int(PORT)))
        except OSError as error:
            pytest.skip(f"not judged: this kernel has no vsock_loopback: {error.strerror}")
        with suppress(ConnectionError):
            connection.sendall(b"hornetos freeze 1\n")
            assert connection.recv(1) == b"", "it was obeyed"


def test_command_ends_with_its_relay(command: list[str]) -> None:
    with running(command, "/dev/null") as process:
        wait_until_it_runs(process)
        (child,) = psutil.Process(process.pid).children()
        process.kill()
        child.wait(TIMEOUT_S)
