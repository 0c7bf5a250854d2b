"""The picture of what the network of a VM costs."""

from __future__ import annotations

from xml.etree import ElementTree

from hornet.results.records import Dimensions, Record
from reports.network_scale import picture


def cost(method: str, vms: int, value: float, name: str = "network_create") -> Record:
    dimensions: Dimensions = {"method": method, "vms": vms}
    return Record(name=name, value=value, unit="ms", direction="lower", lane=None, host={}, dimensions=dimensions)


def test_each_method_is_a_line() -> None:
    records = [cost(method, vms, vms * 0.1) for method in ("suite", "guide") for vms in (1, 10)]
    svg = picture([*records, cost("ip_batch", 1, 20, "network_remove")])
    assert svg
    ElementTree.fromstring(svg)
    for said in ("this suite", "the guide", "ip -batch", "creation", "removal"):
        assert said in svg


def test_a_run_that_measured_something_else_has_none() -> None:
    assert picture([]) is None
    assert picture([cost("suite", 1, 1, "network_connect")]) is None
