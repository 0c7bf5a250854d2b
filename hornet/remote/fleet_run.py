"""The same run on several hosts, side by side. A host that cannot do it, is lost or slow loses only its own part."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paramiko
from fabric import ThreadingGroup
from fabric.exceptions import GroupException

from hornet.errors import HornetError, HostError
from hornet.remote.connect import HostConnection, connect, exit_reason, reason_of, shell_command
from hornet.remote.fetch import fetch_run
from hornet.remote.fleet_file import FleetFile, HostState, host_directory, write_fleet
from hornet.remote.here import Here, differences, disagreements, parse_here
from hornet.remote.hosts import RemoteHost
from hornet.remote.plan import CLEAN_UP_S, GRACE_S

DESCRIBING_S = 120
SECONDS_A_MINUTE = 60
# Exit codes of `hornetos run` with which a run has results.
VERDICTS = (0, 1, 2)
Say = Callable[[str, str], None]


@dataclass
class FleetRun:
    """One execution of a fleet's plan. say: shows a line of a host."""

    directory: Path
    fleet: FleetFile
    hosts: Mapping[str, RemoteHost]
    say: Say
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def go(self) -> None:
        """Run the plan wherever its work is missing, and bring the runs back. fleet has what became of it.

        Raises HostError, before anything runs, if hosts would judge different artifacts.
        """
        write_fleet(self.directory, self.fleet)
        with ThreadingGroup.from_connections([self._connection(name) for name in self.fleet.missing]) as group:
            ready = self._check(group)
            self._bring_back(ready, [name for name in ready if self.fleet.hosts[name].tries])
            todo = [name for name in ready if name in self.fleet.missing]
            for name in todo:
                tries = self.fleet.hosts[name].tries
                tries = [*tries, f"{self.fleet.name}-{len(tries) + 1}" if tries else self.fleet.name]
                self._note(name, HostState(tries=tries, reason="it did not end"))
            self._bring_back(ready, self._run([ready[name] for name in todo]))

    def _connection(self, name: str) -> HostConnection:
        return connect(name, self.hosts[name], lambda line: self.say(name, line))

    def _check(self, group: Collection[HostConnection]) -> dict[str, HostConnection]:
        """The hosts that can do the same run. Raises HostError if they would judge different artifacts."""

        def command(name: str, host: RemoteHost) -> str:
            words = self.fleet.plan.here_words(host, self.fleet.hosts[name].tries)
            return shell_command(words, DESCRIBING_S, CLEAN_UP_S)

        found: dict[str, Here] = {}
        connections = {connection.host_name: connection for connection in group}
        for connection, result in _on_all(list(group), command, shown=False, limit_s=DESCRIBING_S + GRACE_S).items():
            try:
                found[connection.host_name] = self._described(result)
            except HornetError as error:
                self._missing(connection.host_name, error.message)
        problems = disagreements(found)
        if problems:
            raise HostError(
                "; ".join(problems), "copy the same files to every host: results of different ones can't be compared"
            )
        return {name: connections[name] for name in self.fleet.missing if name in found}

    def _described(self, result: Any) -> Here:
        """What a host has. Raises HornetError with the reason why it cannot do the same run."""
        if isinstance(result, BaseException):
            raise HostError(reason_of(result))
        if result.exited != 0:
            raise HostError(exit_reason(result))
        here = parse_here(result.stdout)
        problems = differences(self.fleet.here, here)
        problems += [f"its run {name} has not ended there: resume later" for name in here.running]
        if problems:
            raise HostError("; ".join(problems))
        return here

    def _run(self, connections: list[HostConnection]) -> list[str]:
        """Run the plan on these hosts at once; returns those with results to bring back."""
        limit_s = self.fleet.plan.limit_minutes * SECONDS_A_MINUTE

        def command(name: str, host: RemoteHost) -> str:
            run = self.fleet.hosts[name].tries[-1]
            return shell_command(self.fleet.plan.run_words(host, run), limit_s, CLEAN_UP_S)

        ended = []
        for connection, result in _on_all(connections, command, shown=True, limit_s=limit_s + GRACE_S).items():
            if isinstance(result, BaseException):
                self._missing(connection.host_name, reason_of(result))
            elif result.exited not in VERDICTS:
                self._missing(connection.host_name, exit_reason(result))
            else:
                ended.append(connection.host_name)
        return ended

    def _bring_back(self, connections: Mapping[str, HostConnection], names: Collection[str]) -> None:
        """Bring back the latest run of each of these hosts."""
        if names:
            with ThreadPoolExecutor(len(names)) as threads:
                list(threads.map(lambda name: self._bring_one(connections[name], name), names))

    def _bring_one(self, connection: HostConnection, name: str) -> None:
        run, target = self.fleet.hosts[name].tries[-1], host_directory(self.directory, name)
        target.parent.mkdir(exist_ok=True)
        here = self.fleet.here
        try:
            path = f"{self.hosts[name].hornet_home}/reports/{run}"
            fetch_run(connection.sftp(), path, target, suite=here.suite, spec_sha256=here.spec_sha256)
        except (HornetError, OSError, EOFError, UnicodeError, paramiko.SSHException) as error:
            self._missing(name, f"its results did not come back: {reason_of(error)}")
        else:
            self.say(name, f"run {run} came back")
            self._note(name, HostState(tries=self.fleet.hosts[name].tries, came_back=run, reason=""))

    def _missing(self, name: str, reason: str) -> None:
        self.say(name, f"missing: {reason}")
        self._note(name, HostState(tries=self.fleet.hosts[name].tries, reason=reason))

    def _note(self, name: str, state: HostState) -> None:
        with self._lock:
            self.fleet.hosts[name] = state
            write_fleet(self.directory, self.fleet)


def _on_all(
    connections: list[HostConnection], command_of: Callable[[str, RemoteHost], str], *, shown: bool, limit_s: float
) -> dict[HostConnection, Any]:
    """The result of a command, or the exception, by connection: in the order of the connections, as hosts are named."""
    try:
        results = ThreadingGroup.from_connections(connections).run(command_of, shown=shown, timeout=limit_s)
    except GroupException as error:
        results = error.result
    # A group has them in the order in which its threads ended.
    return {connection: results[connection] for connection in connections if connection in results}
