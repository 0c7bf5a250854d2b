"""Restored guests, and the facts of one: collected in one round trip and shared by all tests."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from hornet.checks.guest_kernel import kernel_probes
from hornet.checks.guest_network import network_probes
from hornet.checks.tools import tool_probes
from hornet.facts import Facts, Probe
from hornet.fleet import VM, Fleet
from hornet.snapshot import Bundle
from hornet.spec import Spec
from hornet.testserver import page_server

# Enough for every probe of a slow, emulated guest one after the other.
FACTS_TIMEOUT_S = 240


@pytest.fixture(scope="session")
def restored_vm(fleet: Fleet, bundle: Bundle) -> Iterator[VM]:
    """A clone of the snapshot that tests look at and do not change."""
    vm = fleet.restore(bundle)
    yield vm
    fleet.remove(vm)


@pytest.fixture(scope="session")
def facts(restored_vm: VM, spec: Spec) -> Facts:
    """All facts of the restored guest."""
    return collect_facts(restored_vm, spec, all_probes(spec))


def all_probes(spec: Spec) -> list[Probe]:
    """Every question that the checks need an answer to."""
    tools = [probe for name, tool in spec.tools.items() for probe in tool_probes(name, tool)]
    return [*kernel_probes(), *network_probes(spec.network), *tools]


def collect_facts(vm: VM, spec: Spec, probes: list[Probe]) -> Facts:
    """Ask a guest, with a page served on its gateway for the HTTP tools."""
    nonce = secrets.token_hex(8)
    gateway = str(spec.network.gateway_address.ip)
    with page_server(vm.namespace, gateway, nonce) as url:
        environment = {"HORNET_URL": url, "HORNET_NONCE": nonce, "HORNET_GATEWAY": gateway}
        return vm.guest.ask(probes, environment, FACTS_TIMEOUT_S)
