"""The suite's command-line options and markers."""

from __future__ import annotations

from pathlib import Path

import pytest

from hornet.installation import TESTS
from hornet.vmm.registry import LANES_HELP

# Of all tests in the folder of that name, and of no others.
FOLDERS = {
    "conformance": "what every HornetOS image must be",
    "network": "the topology of namespaces and its isolation",
    "perf": "measurements of the target metrics",
    "scale": "what the network of a VM costs as VMs grow in number: takes minutes",
    "guest": "the suite's own tests that need a running guest",
}
MARKERS = {
    **FOLDERS,
    "slow": "takes minutes: left out unless --slow is given",
    "gate": "judges a measured metric against its target; not judged where the lane can't",
    "requirement(id, …)": "the requirements (spec/requirements.toml) that a test proves",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("hornetos", "HornetOS: what is judged, and how (paths after =, as in --snapshot=DIR)")
    group.addoption(
        "--spec", metavar="PATH", help="the specification: a file or directory (default: the project's spec/)"
    )
    group.addoption(
        "--overlay",
        metavar="FILE",
        action="append",
        default=[],
        help="a TOML file with a team's own values; repeatable",
    )
    group.addoption("--slow", action="store_true", help="run the tests marked slow too: they take minutes")
    group.addoption(
        "--tier",
        metavar="TIER",
        help="the tier to build and judge: micro, standard, dev (default: what --snapshot says it is, else standard)",
    )
    group.addoption(
        "--require",
        metavar="TIER",
        help="judge by this tier's rules (size, tools, removals, init), whatever the image says it is or --tier "
        "builds: the run fails unless it meets them all",
    )
    group.addoption("--snapshot", metavar="DIR", help="judge this snapshot instead of building one")
    group.addoption(
        "--image",
        metavar="FILE",
        help="judge this root file system instead of building one; one made elsewhere must bring up eth0 and sshd by "
        "itself and accept --ssh-key",
    )
    group.addoption("--kernel", metavar="FILE", help="boot and judge this vmlinux instead of building one")
    group.addoption(
        "--ssh-key",
        metavar="FILE",
        help="the private key that root of an image or snapshot made elsewhere accepts (default: this home's own)",
    )
    group.addoption("--lane", metavar="VMM/ACCEL", help=f"{LANES_HELP} (default: the best usable)")
    group.addoption(
        "--require-kvm", action="store_true", help="fail, not skip, every verdict that only a KVM lane can give"
    )
    group.addoption(
        "--host-network",
        action="store_true",
        help="use the machine's own network, with the guide's names vm1 … vmN, instead of a private one",
    )
    group.addoption(
        "--no-seal",
        action="store_true",
        help="restore snapshots without checking that they are intact: against the golden rule, for experiments",
    )
    group.addoption(
        "--network-scale",
        metavar="N",
        type=int,
        default=100,
        help="tests/network makes the networks of N VMs at once, tests/scale measures up to N (default: 100)",
    )
    group.addoption(
        "--run-dir", metavar="DIR", help="where records and results go (default: HORNET_HOME/reports/<time>)"
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """`-m conformance` names a folder of tests: the others, which take as long to read as a VM to restore, are left."""
    elsewhere = config.option.markexpr in FOLDERS and collection_path.name != config.option.markexpr
    return True if elsewhere and collection_path.parent == TESTS else None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave out what takes minutes unless it is asked for."""
    if item.get_closest_marker("slow") and not item.config.getoption("slow"):
        pytest.skip("takes minutes: run it with --slow")


def register_markers(config: pytest.Config) -> None:
    """Make every marker known, so that a misspelt one is an error."""
    for name, meaning in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")
