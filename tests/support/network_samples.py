"""A private host for a test of the network, names that nobody else has, and what others do there."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from hornet.errors import NetworkError
from hornet.host.proc import run
from hornet.installation import SOURCE
from hornet.network import HostNet, netns
from hornet.network.state import read_links_and_routes
from hornet.spec.model import load_spec
from hornet_cli.app import app

NETWORK = load_spec().network
IN_CHECKOUT = {**os.environ, "PYTHONPATH": str(SOURCE)}
TIMEOUT_S = 60


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> Iterator[str]:
    """A prefix for names that nobody else has; whatever carries it at the end was left by the test."""
    chosen = f"hornet-{os.getpid()}-{abs(hash(request.node.name)) % 10**6}-"
    yield chosen
    left = [name for name in netns.names() if name.startswith(chosen)]
    for name in left:
        netns.remove(name)
    assert not left, "namespaces were left behind"


@pytest.fixture
def host(prefix: str) -> Iterator[HostNet]:
    with HostNet.private(NETWORK, prefix) as net:
        yield net


def hornetos_net(prefix: str, *words: str) -> tuple[int, str]:
    """`hornetos net …` with a private host."""
    result = CliRunner().invoke(app, ["net", *words, "--private", prefix], catch_exceptions=True)
    if isinstance(result.exception, NetworkError):
        return 2, str(result.exception)
    return result.exit_code, result.output


def interfaces(host: HostNet) -> set[str]:
    return set(host.run(read_links_and_routes)[0])


def in_namespace(name: str, command: str) -> str:
    """What somebody else does, with iproute2 and nft; its output."""
    return run(["ip", "netns", "exec", name, "sh", "-ec", command], timeout_s=TIMEOUT_S).output
