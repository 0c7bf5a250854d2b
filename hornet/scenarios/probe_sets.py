"""The probes that the checks need, sent to a guest in one round trip."""

from __future__ import annotations

import secrets

from hornet.checks.boot import boot_probes
from hornet.checks.compressed_usr import usr_probes
from hornet.checks.feature_tests import feature_probes
from hornet.checks.guest_disk import disk_probes
from hornet.checks.guest_kernel import kernel_probes
from hornet.checks.guest_network import network_probes
from hornet.checks.health import health_probes
from hornet.checks.init_system import init_probes
from hornet.checks.runtime_secrets import SecretTrial, injection_probes
from hornet.checks.tools import tool_probes
from hornet.scenarios.guest_programs import compile_programs
from hornet.scenarios.page_server import page_server, pages_server
from hornet.spec.model import Spec
from hornet.vm.fleet import VM
from hornet.vm.probes import Probe, ProbeResults

# Enough to run every probe in sequence in a slow, emulated guest.
FACTS_TIMEOUT_S = 240


def guest_probes(spec: Spec, tier: str) -> list[Probe]:
    """Every probe for a guest of this tier, except those for its tools."""
    features = feature_probes(spec.kernel.feature_tests, compile_programs())
    name = spec.tier(tier).init
    init = init_probes(name, spec.inits[name])
    guest = [*kernel_probes(), *boot_probes(spec.boot), *init, *network_probes(spec.network), *disk_probes()]
    return [*guest, *usr_probes(), *features]


def tools_probes(spec: Spec, tier: str) -> list[Probe]:
    """Every probe for the tools of this tier. In an emulated guest they take ten times as long as all others."""
    return [probe for name, tool in spec.tools_of(tier).items() for probe in tool_probes(name, tool)]


def scratch_facts(vm: VM, spec: Spec, trial: SecretTrial) -> ProbeResults:
    """Inject faults and secrets into a guest and return its probe results. Use a VM that no other test uses."""
    probes = [*health_probes(spec.health, spec.network), *injection_probes(spec.secrets, trial)]
    gateway = str(spec.network.gateway_address.ip)
    with pages_server(vm.namespace, gateway, trial.pages(spec.secrets), spec.secrets.port):
        return vm.guest.ask(probes, {}, FACTS_TIMEOUT_S)


def collect_facts(vm: VM, spec: Spec, probes: list[Probe]) -> ProbeResults:
    """Run probes in a guest, with a page on its gateway for the HTTP tools. Raises GuestError."""
    nonce = secrets.token_hex(8)
    gateway = str(spec.network.gateway_address.ip)
    with page_server(vm.namespace, gateway, nonce) as url:
        environment = {"HORNET_URL": url, "HORNET_NONCE": nonce, "HORNET_GATEWAY": gateway}
        return vm.guest.ask(probes, environment, FACTS_TIMEOUT_S)
