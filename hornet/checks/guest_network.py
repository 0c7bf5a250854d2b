"""The guest's own network (guide: VM Internal Network Configuration): address, gateway, DNS, host name."""

from __future__ import annotations

import re
from ipaddress import IPv4Interface

from hornet.checks.check import Subject, check
from hornet.spec.network import Network
from hornet.vm.probes import Probe, ProbeResults


def network_probes(network: Network) -> list[Probe]:
    """Probes for everything that the spec says about the guest's network."""
    gateway = network.gateway_address.ip
    return [
        Probe("net.address", f"ip -o -4 addr show dev {network.guest_interface}"),
        Probe("net.link", f"cat /sys/class/net/{network.guest_interface}/address"),
        Probe("net.route", "ip route show default || ip route"),
        Probe("net.dns", "cat /etc/resolv.conf"),
        Probe("net.hostname", "hostname"),
        Probe("net.gateway", f"ping -c 1 -W 10 {gateway}"),
    ]


@check(
    "network.address",
    Subject.GUEST,
    given=lambda spec: spec.network,
    proves=["guest-address", "address-guest", "same-address"],
)
def address_problems(network: Network, facts: ProbeResults) -> list[str]:
    """The interface has exactly the guest's address."""
    answer = facts["net.address"]
    found = [IPv4Interface(text) for text in re.findall(r"inet (\d+\.\d+\.\d+\.\d+/\d+)", answer.output)]
    if found == [network.guest_address]:
        return []
    shown = ", ".join(map(str, found)) or "none"
    interface = network.guest_interface
    return [f"{interface}: addresses {shown}, expected exactly {network.guest_address} ({answer})"]


@check("network.mac", Subject.GUEST, given=lambda spec: spec.network, proves=["portable-snapshots"])
def mac_problems(network: Network, facts: ProbeResults) -> list[str]:
    """The network card's address is the one in the spec, the same in every clone."""
    found = facts["net.link"].output.strip().lower()
    if found == network.guest_mac:
        return []
    return [f"{network.guest_interface}: MAC {found!r}, expected {network.guest_mac}"]


@check("network.route", Subject.GUEST, given=lambda spec: spec.network, proves=["guest-gateway"])
def route_problems(network: Network, facts: ProbeResults) -> list[str]:
    """The default route goes to the gateway."""
    answer = facts["net.route"]
    gateways = re.findall(r"^default via (\S+)", answer.output, re.MULTILINE)
    expected = str(network.gateway_address.ip)
    if gateways == [expected]:
        return []
    return [f"default routes go to {gateways or 'nowhere'}, expected exactly {expected}"]


@check("network.dns", Subject.GUEST, given=lambda spec: spec.network, proves=["guest-dns"])
def dns_problems(network: Network, facts: ProbeResults) -> list[str]:
    """resolv.conf lists the spec's name servers, in order."""
    found = re.findall(r"^nameserver\s+(\S+)", facts["net.dns"].output, re.MULTILINE)
    expected = [str(address) for address in network.dns]
    return [] if found == expected else [f"/etc/resolv.conf: name servers {found}, expected {expected}"]


@check("network.hostname", Subject.GUEST, given=lambda spec: spec.network, proves=["guest-hostname"])
def hostname_problems(network: Network, facts: ProbeResults) -> list[str]:
    """The guest has the host name of the spec."""
    found = facts["net.hostname"].output.strip()
    return [] if found == network.hostname else [f"host name {found!r}, expected {network.hostname!r}"]


@check("network.gateway", Subject.GUEST, given=lambda spec: spec.network, proves=["gateway-fixed"])
def gateway_problems(network: Network, facts: ProbeResults) -> list[str]:
    """The gateway answers a ping from inside the guest."""
    answer = facts["net.gateway"]
    return [] if answer.ok else [f"the gateway {network.gateway_address.ip} does not answer: {answer}"]


# No connection within CONNECT_TIMEOUT_S is a failure. After it connects, a slow guest may take until EGRESS_TIMEOUT_S.
CONNECT_TIMEOUT_S = 45
EGRESS_TIMEOUT_S = 60


def egress_probe(network: Network) -> Probe:
    """The request of the guide's network test, over HTTPS with a verified certificate."""
    curl = f"curl -sS -o /dev/null -w '%{{http_code}}' --connect-timeout {CONNECT_TIMEOUT_S} {network.egress_url}"
    return Probe("net.egress", curl, EGRESS_TIMEOUT_S)


@check("egress")
def egress_problems(network: Network, facts: ProbeResults) -> list[str]:
    """The guest reaches the Internet: any HTTP answer counts, as in the guide."""
    answer = facts["net.egress"]
    if answer.ok and re.fullmatch(r"[1-5]\d\d", answer.output.strip()):
        return []
    return [f"{network.egress_url} can't be reached from the guest: {answer}"]
