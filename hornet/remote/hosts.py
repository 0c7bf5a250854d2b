"""The hosts file: the machines on which `hornetos fleet run` does the same run. TOML, one table for each host."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import paramiko
from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from hornet.errors import GuestError, HostError
from hornet.foreign_file import ForeignFileError, first_problem, read_toml
from hornet.results.collected import IMAGE_SUITES
from hornet.spec.types import Table
from hornet.vm.guest import read_ssh_key

MAX_HOSTS_BYTES = 1 << 20
MAX_HOSTS = 256
_FORM = "[hosts.NAME] with address, host_key and key; [defaults] for what all have in common"
# Names are directories here, paths are words of a shell there: nothing in them needs quotes.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_PATH = re.compile(r"/[A-Za-z0-9._/+-]{0,255}")
_ADDRESS = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:_-]{0,252}")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")


def _matching(pattern: re.Pattern[str], expected: str) -> AfterValidator:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(f"expected {expected}")
        return text

    return AfterValidator(check)


def _host_key(line: str) -> str:
    try:
        known_key(line)
    except (paramiko.SSHException, ValueError):
        raise ValueError("expected a public host key, as `ssh-keyscan -t ed25519 ADDRESS` prints it") from None
    return line


def _suites(names: list[str]) -> list[str]:
    unknown = [name for name in names if name not in IMAGE_SUITES]
    if unknown or len(set(names)) < len(names):
        raise ValueError(f"expected some of: {', '.join(IMAGE_SUITES)}, each once")
    return names


RemotePath = Annotated[str, _matching(_PATH, "an absolute path of letters, digits and ._/+-")]


class RemoteHost(Table):
    """One host.

    address, port, user: of its sshd. host_key: its public host key, `type base64`; no other is accepted. key: the
    private key with which it lets us in, a path here. command, hornet_home: the suite there, and its HORNET_HOME.
    suites: what the host may run of a plan; perf is for hosts that nothing else uses. overlays: files there.
    """

    address: Annotated[str, _matching(_ADDRESS, "a host name or an IP address")]
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    user: Annotated[str, _matching(_USER, "a name of a user")] = "root"
    host_key: Annotated[str, AfterValidator(_host_key)]
    key: Path
    command: RemotePath = "/opt/hornetos/hornetos"
    hornet_home: RemotePath = "/opt/swarm"
    suites: Annotated[list[str], Field(min_length=1), AfterValidator(_suites)] = list(IMAGE_SUITES)
    overlays: list[RemotePath] = []


class _HostsFile(Table):
    defaults: dict[str, Any] = {}
    hosts: Annotated[dict[str, dict[str, Any]], Field(min_length=1, max_length=MAX_HOSTS)]


_HOST = TypeAdapter(RemoteHost)


def known_key(line: str) -> paramiko.PKey:
    """The key of a line `type base64`. Raises paramiko.SSHException or ValueError if it is none."""
    entry = paramiko.hostkeys.HostKeyEntry.from_line(f"host {line}")
    if entry is None or entry.key is None or "\n" in line:
        raise ValueError("not a public key")
    return entry.key


def read_hosts(path: Path) -> dict[str, RemoteHost]:
    """The hosts of a file by name.

    Raises ForeignFileError for an unknown key or an impossible value, and HostError for two tables of one machine and
    for a private key that is missing or needs a passphrase.
    """
    try:
        found = _HostsFile.model_validate(read_toml(path, MAX_HOSTS_BYTES))
    except ValidationError as error:
        raise ForeignFileError(f"{path}: {first_problem(error, _HostsFile.model_fields)}", _FORM) from error
    hosts = {name: _host(path, name, {**found.defaults, **table}) for name, table in found.hosts.items()}
    _refuse_twins(path, hosts)
    for key in {host.key for host in hosts.values()}:
        try:
            read_ssh_key(key)
        except GuestError as error:
            raise HostError(f"{path}: {error.message}", error.hint) from error
    return hosts


def _host(path: Path, name: str, table: Mapping[str, Any]) -> RemoteHost:
    if not _NAME.fullmatch(name):
        raise ForeignFileError(
            f"{path}: hosts.{name!r}: not a name", "use at most 63 letters, digits, dots, hyphens and underscores"
        )
    if "key" in table and isinstance(table["key"], str):
        table = {**table, "key": (path.parent / table["key"]).resolve()}
    try:
        return _HOST.validate_python(table)
    except ValidationError as error:
        problem = first_problem(error, RemoteHost.model_fields)
        raise ForeignFileError(f"{path}: hosts.{name}.{problem}", _FORM) from error


def _refuse_twins(path: Path, hosts: Mapping[str, RemoteHost]) -> None:
    """Two tables of one machine would run at once on it, and count twice."""
    seen: dict[tuple[str, object], str] = {}
    for name, host in hosts.items():
        own_key = host.host_key.split()[1]
        for what, value in (("address", f"{host.address} port {host.port}"), ("host key", own_key)):
            first = seen.setdefault((what, value), name)
            if first != name:
                raise HostError(
                    f"{path}: {first} and {name} have the same {what}: {value[:60]}",
                    "list each machine once; a machine that was cloned needs its own host key: ssh-keygen -A",
                )
