"""The hosts file: each impossible value is refused with its place and what was expected."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hornet.errors import HornetError
from hornet.foreign_file import ForeignFileError
from hornet.remote.here import Here, differences, disagreements, parse_here
from hornet.remote.hosts import read_hosts
from hornet.remote.plan import Plan

KEYS = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIXBl3wSDOdTm9sdGFqU1zsjUKDBJ3DJNOk9FNK8eTk7",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKk0+8ghrhTq1J1avNgKVF8Ye75c7K5Vd6rkbznLSjBx",
)
GOOD = f'[defaults]\nkey = "key"\n[hosts.a]\naddress = "192.0.2.1"\nhost_key = "{KEYS[0]}"\n'
OTHER = f'[hosts.b]\naddress = "192.0.2.2"\nhost_key = "{KEYS[1]}"\n'


@pytest.fixture
def written(tmp_path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    return tmp_path / "hosts.toml"


def test_defaults_are_common_and_a_host_may_differ(written: Path) -> None:
    written.write_text(GOOD + 'suites = ["network"]\nport = 2222\n' + OTHER)
    hosts = read_hosts(written)
    assert (hosts["a"].port, hosts["a"].suites, hosts["b"].port) == (2222, ["network"], 22)
    assert hosts["b"].key == written.parent / "key"
    plan = Plan(limit_minutes=1)
    assert plan.run_words(hosts["a"], "r") == ["run", "--name=r", "--suite=network"]
    assert plan.run_words(hosts["b"], "r") == ["run", "--name=r"]


BAD = {
    "no host": ("[hosts]\n", "hosts"),
    "an unknown key": (GOOD + 'address_of = "x"\n', r"hosts\.a\.address_of.*did you mean address"),
    "no host key": ('[hosts.a]\naddress = "192.0.2.1"\nkey = "key"\n', r"hosts\.a\.host_key: Field required"),
    "a bad host key": (GOOD.replace("ssh-ed25519 AAAA", "ssh-ed25519 BBBB"), "ssh-keyscan"),
    "a private key that is missing": (GOOD.replace('"key"', '"none"'), "none: no such file"),
    "port 0": (GOOD + "port = 0\n", r"hosts\.a\.port"),
    "a port beyond 65535": (GOOD + "port = 65536\n", r"hosts\.a\.port"),
    "an option as address": (GOOD.replace("192.0.2.1", "-oProxyCommand=x"), "a host name or an IP address"),
    "a command with a blank": (GOOD + 'command = "/opt/a b"\n', "an absolute path"),
    "a shell's word": (GOOD + 'hornet_home = "/opt/$(id)"\n', "an absolute path"),
    "a relative path": (GOOD + 'hornet_home = "swarm"\n', "an absolute path"),
    "an unknown suite": (GOOD + 'suites = ["conformence"]\n', "expected some of: conformance"),
    "a suite twice": (GOOD + 'suites = ["perf", "perf"]\n', "each once"),
    "no suite": (GOOD + "suites = []\n", r"hosts\.a\.suites"),
    "a name with a slash": (GOOD.replace("hosts.a", 'hosts."../a"'), "not a name"),
    "one name twice": (GOOD + GOOD.partition("\n")[2].partition("\n")[2], "not valid TOML"),
    "one address twice": (GOOD + OTHER.replace("192.0.2.2", "192.0.2.1"), "a and b have the same address"),
    "one host key twice": (GOOD + OTHER.replace(KEYS[1], KEYS[0]), "a and b have the same host key"),
    "too many": (GOOD + "".join(f"[hosts.h{number}]\n" for number in range(256)), "at most 256"),
    "not TOML": ("[hosts", "not valid TOML"),
}


@pytest.mark.parametrize("fault", BAD)
def test_an_impossible_hosts_file_is_refused(written: Path, fault: str) -> None:
    text, said = BAD[fault]
    written.write_text(text)
    with pytest.raises(HornetError, match=said):
        read_hosts(written)


def here(**changes: object) -> Here:
    return Here.model_validate({"suite": "1", "commit": None, "spec_sha256": "a" * 64, **changes})


def test_what_differs_is_named() -> None:
    assert differences(here(), here()) == []
    assert "suite 2 (no commit), expected 1" in differences(here(), here(suite="2"))[0]
    assert "suite 1 (abc)" in differences(here(), here(commit="abc"))[0]
    assert "specification differs" in differences(here(), here(spec_sha256="b" * 64))[0]
    two = {"x": here(artifacts={"kernel": "a" * 64}), "y": here(artifacts={"kernel": "b" * 64})}
    assert disagreements(two) == [f"--kernel: hosts have different ones: {'a' * 12} on x; {'b' * 12} on y"]
    assert disagreements({"x": two["x"], "z": two["x"]}) == []


@pytest.mark.parametrize("text", ["", "bash: hornetos: not found", "[]", '{"suite": "1"}', '{"suite": NaN}'])
def test_a_host_that_answers_something_else_is_refused(text: str) -> None:
    with pytest.raises(ForeignFileError):
        parse_here(text)
