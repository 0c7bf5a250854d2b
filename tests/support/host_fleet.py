"""Hosts for tests of fleets: network namespaces on one bridge, each with an sshd and a suite of its own.

The sshd, SSH and the commands that describe a host are real. `hornetos run` is replaced, except by `install_real`: it
closes a run directory of made-up results, when the test lets it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from hornet import __version__
from hornet.installation import SOURCE

SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
# The tests' own network (RFC 5737).
NETWORK = "198.51.100"
TIMEOUT_S = 100
POLL_S = 0.05
SSHD_CONFIG = """
ListenAddress {address}
HostKey {host_key}
AuthorizedKeysFile {authorized}
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
Subsystem sftp internal-sftp
"""
# What a host of a fleet calls in place of the launcher.
COMMAND = """#!/bin/bash
cd {source}
export PYTHONPATH={source} PYTHONDONTWRITEBYTECODE=1
case " $* " in
  *" fleet here "*) {python} -m hornet_cli "$@" | sed 's/"suite": "[^"]*"/"suite": "{suite}"/' ;;
  *) exec {python} -m tests.support.host_fleet "$@" ;;
esac
"""
REAL_COMMAND = """#!/bin/bash
cd {source}
export PYTHONPATH={source} PYTHONDONTWRITEBYTECODE=1
exec {python} -m hornet_cli "$@"
"""


@dataclass
class LabHost:
    """A host of the test: `namespace` has its sshd, `directory` what is on its disk."""

    name: str
    namespace: str
    address: str
    directory: Path
    public_key: str

    @property
    def home(self) -> Path:
        """Its HORNET_HOME."""
        return self.directory / "home"

    @property
    def begun(self) -> Path:
        """The file that shows that a run has begun there."""
        return self.directory / "begun"

    def install(self, suite: str) -> None:
        """Give it a suite that says that it is of this version."""
        command = self.directory / "hornetos"
        command.write_text(COMMAND.format(source=SOURCE, python=sys.executable, suite=suite))
        command.chmod(0o755)

    def install_real(self, keys: Path) -> None:
        """Give it this suite itself. keys: those that guests accept."""
        command = self.directory / "hornetos"
        command.write_text(REAL_COMMAND.format(source=SOURCE, python=sys.executable))
        command.chmod(0o755)
        shutil.copytree(keys, self.home / "keys")

    def power_on(self) -> None:
        """Start its sshd, and connect its cable."""
        assert SSHD
        ip("-n", self.namespace, "link", "set", "eth0", "up")
        log = self.directory / "sshd.log"
        with log.open("wb") as stream:
            config = str(self.directory / "sshd_config")
            words = ["ip", "netns", "exec", self.namespace, SSHD, "-D", "-e", "-f", config]
            subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)
        await_true(lambda: "Server listening" in log.read_text())

    def power_off(self) -> None:
        """Cut its power: no packet of it arrives any more, and nobody is told."""
        ip("-n", self.namespace, "link", "set", "eth0", "down")
        found = subprocess.run(["ip", "netns", "pids", self.namespace], capture_output=True, text=True, check=True)
        for pid in found.stdout.split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)

    def go_on(self) -> None:
        """Let runs there go to their end."""
        (self.directory / "go").touch()


@dataclass(frozen=True)
class Site:
    """The namespace from which a fleet is led, and the hosts that it reaches."""

    namespace: str
    directory: Path
    key: Path
    hosts: Mapping[str, LabHost]

    def hosts_file(self, **changes: str) -> Path:
        """A hosts file; changes: lines that replace those of a host, as in b='host_key = "…"'."""
        tables = []
        for name, host in self.hosts.items():
            known = {
                "address": f'"{host.address}"',
                "host_key": f'"{host.public_key}"',
                "command": f'"{host.directory}/hornetos"',
                "hornet_home": f'"{host.home}"',
            }
            key, _, value = changes.get(name, "").partition(" = ")
            known |= {key: value} if key else {}
            tables.append(f"[hosts.{name}]\n" + "".join(f"{key} = {value}\n" for key, value in known.items()))
        path = self.directory / "hosts.toml"
        path.write_text(f'[defaults]\nkey = "{self.key}"\n' + "".join(tables))
        return path

    def start(self, *words: str) -> subprocess.Popen[str]:
        """`hornetos fleet run` where the fleet is led from."""
        environment = {**os.environ, "PYTHONPATH": str(SOURCE), "HORNET_HOME": str(self.directory / "home")}
        return subprocess.Popen(
            ["ip", "netns", "exec", self.namespace, sys.executable, "-m", "hornet_cli", "fleet", "run", *words],
            cwd=SOURCE,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


@contextmanager
def site(directory: Path, prefix: str, names: Sequence[str]) -> Iterator[Site]:
    """A site with these hosts, all powered on, with this suite."""
    with ExitStack() as stack:
        _namespace(stack, prefix)
        ip("-n", prefix, "link", "add", "br0", "type", "bridge")
        ip("-n", prefix, "address", "add", f"{NETWORK}.1/24", "dev", "br0")
        ip("-n", prefix, "link", "set", "br0", "up")
        key = _make_key(directory / "user_key")
        hosts = {name: _host(stack, directory, name, number, prefix) for number, name in enumerate(names, 2)}
        yield Site(prefix, directory, key, hosts)


def _host(stack: ExitStack, base: Path, name: str, number: int, bridge: str) -> LabHost:
    directory, namespace, address = base / name, f"{bridge}{name}", f"{NETWORK}.{number}"
    directory.mkdir()
    _namespace(stack, namespace)
    ip("link", "add", "eth0", "netns", namespace, "type", "veth", "peer", "name", f"port{number}", "netns", bridge)
    ip("-n", bridge, "link", "set", f"port{number}", "master", "br0", "up")
    ip("-n", namespace, "address", "add", f"{address}/24", "dev", "eth0")
    key = _make_key(directory / "host_key")
    config = SSHD_CONFIG.format(address=address, host_key=key, authorized=base / "user_key.pub")
    (directory / "sshd_config").write_text(config)
    Path("/run/sshd").mkdir(exist_ok=True)
    public = " ".join(key.with_suffix(".pub").read_text().split()[:2])
    host = LabHost(name, namespace, address, directory, public)
    host.install(__version__)
    stack.callback(host.power_off)
    host.power_on()
    return host


def _namespace(stack: ExitStack, name: str) -> None:
    ip("netns", "add", name)
    stack.callback(ip, "netns", "delete", name)
    ip("-n", name, "link", "set", "lo", "up")


def _make_key(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return path


def ip(*words: str) -> None:
    """Run ip(8)."""
    subprocess.run(["ip", *words], check=True)


def await_true(condition: Callable[[], bool], timeout_s: float = TIMEOUT_S) -> None:
    """Wait until a condition holds. Raises TimeoutError."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            raise TimeoutError("the condition does not come true")
        time.sleep(POLL_S)


def _run_there() -> None:
    """In place of `hornetos run` on a host: wait for the test, then close a run directory of the given name."""
    from tests.support.synthetic_run import make_run

    home = Path(os.environ["HORNET_HOME"])
    name = next(word.removeprefix("--name=") for word in sys.argv if word.startswith("--name="))
    print(f"run {name}: \x1b[31mbegun\x1b[0m <b>here</b>", flush=True)
    (home.parent / "begun").touch()
    await_true((home.parent / "go").exists)
    make_run(home / "reports" / name)
    sys.exit(2)  # not all of it was judged


if __name__ == "__main__":
    _run_there()
