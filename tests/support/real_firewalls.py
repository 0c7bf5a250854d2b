"""Firewalls that others install, run as they are: in a namespace, with their settings and their state in private."""

from __future__ import annotations

import selectors
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from hornet.host.proc import run

TIMEOUT_S = 60
READY = "ready"
# Copies of the settings hide the machine's own; a new /run holds sockets and locks.
PRIVATE = """
for each in ufw default firewalld; do
    if [ -e "/etc/$each" ]; then cp -a "/etc/$each" "$0"; mount --bind "$0/$each" "/etc/$each"; fi
done
mount -t tmpfs none /run
"""
UFW = "ufw --force enable >&2"
FIREWALLD = """
mkdir /run/dbus; dbus-daemon --system --fork
firewalld --nofork --nopid >&2 & until firewall-cmd --state >&2; do sleep 0.2; done
"""
# What dockerd runs for its bridge, in this order (libnetwork, up to version 27).
DOCKERD = """
iptables -N DOCKER; iptables -N DOCKER-ISOLATION-STAGE-1; iptables -N DOCKER-ISOLATION-STAGE-2
iptables -A DOCKER-ISOLATION-STAGE-1 -j RETURN; iptables -A DOCKER-ISOLATION-STAGE-2 -j RETURN
iptables -t nat -N DOCKER; iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
iptables -t nat -I POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
iptables -I FORWARD -i docker0 -o docker0 -j ACCEPT; iptables -I FORWARD -i docker0 ! -o docker0 -j ACCEPT
iptables -I FORWARD -o docker0 -j DOCKER
iptables -I FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
iptables -I FORWARD -j DOCKER-ISOLATION-STAGE-1
iptables -I DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
iptables -I DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
iptables -P FORWARD DROP
iptables -N DOCKER-USER; iptables -A DOCKER-USER -j RETURN; iptables -I FORWARD -j DOCKER-USER
"""
# By program: the Debian packages that it needs, and how it is started.
PROGRAMS = {
    "ufw": (("ufw",), UFW),
    "firewall-cmd": (("firewalld", "dbus"), FIREWALLD),
    "iptables": (("iptables",), DOCKERD),
}


@dataclass(frozen=True)
class RealFirewall:
    """A firewall that is enabled. Commands run where it runs; its daemons end with the block, its rules stay."""

    pid: int

    def run(self, command: str) -> str:
        """The output of a shell command. Raises CommandError if it fails."""
        inside = ["nsenter", f"--target={self.pid}", "--mount", "--net", "--pid", "sh", "-ec", command]
        return run(inside, timeout_s=TIMEOUT_S).output


@contextmanager
def real_firewall(program: str, namespace: str, directory: Path) -> Iterator[RealFirewall]:
    """A firewall in a network namespace; `directory` takes its settings. Skips where it is not installed."""
    packages, start = PROGRAMS[program]
    if shutil.which(program) is None:
        pytest.skip(f"not judged: {program} is not installed: apt-get install {' '.join(packages)}")
    script = f"{PRIVATE}\n{start}\necho {READY}; exec sleep infinity"
    argv = [
        *("setpriv", "--pdeathsig=KILL", "ip", "netns", "exec", namespace),
        *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-ec", script, str(directory)),
    ]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout
            assert process.stderr
            with selectors.DefaultSelector() as selector:
                selector.register(process.stdout, selectors.EVENT_READ)
                selector.select(TIMEOUT_S)
            assert process.stdout.readline().decode().strip() == READY, process.stderr.read().decode()
            [child] = psutil.Process(process.pid).children()
            yield RealFirewall(child.pid)
        finally:
            process.kill()
