"""The suite's command-line options and markers."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from builders.distros import DEFAULT_DISTRO, DISTROS
from hornet.errors import HornetError
from hornet.formats.archives.source import parse_source
from hornet.host.emulation import patient_s, set_patience
from hornet.installation import TESTS
from hornet.spec.model import load_spec
from hornet.spec.rootfs import BASELINE
from hornet.text import printable
from hornet.vm.evidence import FAILURES, WHOSE
from hornet.vm.life import LIVES, RESTORED
from hornet.vmm.firecracker.program import use
from hornet.vmm.registry import LANES_HELP, lane_named

# Each marks all tests in the folder of its name, and no others.
FOLDERS = {
    "conformance": "the rules that every HornetOS image must meet",
    "network": "the topology of the namespaces and their isolation",
    "procedures": "the guide's procedures on the snapshot under test",
    "perf": "measurements of the target metrics",
    "scale": "the cost of a VM's network as the number of VMs grows: takes minutes",
    "guest": "the suite's own tests that need a running guest",
}
MARKERS = {
    **FOLDERS,
    "slow": "takes minutes: skipped unless --slow is given",
    "gate": "judges a measured metric against its target, if the lane can",
    "requirement(id, …)": "the requirements (spec/requirements) that a test proves",
}
# Options that name a file or directory that must exist.
PATHS = ("image", "kernel", "snapshot", "ssh_key", "api_description")


def _count(text: str) -> int:
    """The value of an option that counts something."""
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)


def check_options(config: pytest.Config) -> None:
    """Refuse what cannot work before anything starts, as one message instead of one per test. Raises UsageError."""
    try:
        spec = load_spec(*spec_files(config))
        set_patience(spec.lab.patience)
        for tier in filter(None, (config.getoption("tier"), config.getoption("require"))):
            spec.tier(tier)
        if lane := config.getoption("lane"):
            lane_named(lane)
        if program := config.getoption("firecracker"):
            use(Path(program))
    except HornetError as error:
        raise pytest.UsageError(str(error)) from error
    if config.getoption("distro") != DEFAULT_DISTRO and (config.getoption("image") or config.getoption("snapshot")):
        raise pytest.UsageError("--distro says what to build: leave it out with --image and --snapshot")
    for name in PATHS:
        given = config.getoption(name)
        path = parse_source(given).path if given and name == "image" else Path(given or ".")
        if not path.exists():
            raise pytest.UsageError(f"--{name.replace('_', '-')} {printable(given)}: no such file or directory")


def lengthen_time_limit(config: pytest.Config) -> None:
    """Let a test take as many times as long as its waits for a guest may. Before pytest-timeout reads its setting."""
    limit_s = config.getini("timeout")
    if limit_s and config.getoption("timeout") is None:
        config.option.timeout = patient_s(float(limit_s))


def spec_files(config: pytest.Config) -> tuple[Path | None, list[Path]]:
    """The specification that the command line names, and its overlays."""
    path = config.getoption("spec")
    return Path(path) if path else None, [Path(overlay) for overlay in config.getoption("overlay")]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("hornetos", "HornetOS: what to judge, and how (write paths after =, as in --snapshot=DIR)")
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
    group.addoption(
        "--quick",
        action="store_true",
        help="leave out every test that needs a VM of its own: a first answer, never enough for a release",
    )
    group.addoption(
        "--rerun-of",
        metavar="DIR",
        help="repeat the tests of this run directory that failed, could not judge or did not run",
    )
    group.addoption("--slow", action="store_true", help="also run the tests marked slow: they take minutes")
    group.addoption(
        "--tier",
        metavar="TIER",
        help="the tier to build and judge: micro, standard, dev (default: the tier of --snapshot, else standard)",
    )
    group.addoption(
        "--require",
        metavar="TIER",
        help="enforce this tier's rules (size, tools, removals, init), whatever tier the image claims or --tier "
        "builds: the run fails unless all of them are met",
    )
    group.addoption(
        "--distro",
        choices=[*DISTROS, BASELINE],
        default=DEFAULT_DISTRO,
        help=f"what the image is built from (default: {DEFAULT_DISTRO}); {BASELINE}: the unslimmed image with which "
        "phase 1 starts, to compare with",
    )
    group.addoption("--snapshot", metavar="DIR", help="judge this snapshot instead of building one")
    group.addoption(
        "--image",
        metavar="FILE|oci:DIR|tar:FILE|dir:DIR",
        help="judge this root file system instead of building one; if it was made elsewhere, it must bring up eth0 "
        "and sshd by itself and accept --ssh-key; of an OCI image layout, a tar and a directory only the files are "
        "judged, without a VM",
    )
    group.addoption("--kernel", metavar="FILE", help="boot and judge this vmlinux instead of building one")
    group.addoption(
        "--ssh-key",
        metavar="FILE",
        help="the private key for root of an image or snapshot made elsewhere (default: the key in HORNET_HOME)",
    )
    group.addoption("--lane", metavar="VMM/ACCEL", help=f"{LANES_HELP} (default: the best usable one)")
    group.addoption(
        "--life",
        choices=LIVES,
        default=RESTORED,
        help="whether the guests whose facts are judged are clones of the snapshot (restored, the default), or booted",
    )
    group.addoption("--firecracker", metavar="BIN", help="the Firecracker to use, instead of the one on PATH")
    group.addoption(
        "--require-kvm",
        action="store_true",
        help="fail every test whose verdict needs a KVM lane, instead of skipping it",
    )
    group.addoption(
        "--lab",
        action="store_true",
        help="run in the lab, an emulated host with KVM: verdicts on functions count, times and densities never do",
    )
    group.addoption(
        "--host-network",
        action="store_true",
        help="use the machine's own network, with the guide's names vm1 … vmN, instead of a private one",
    )
    group.addoption(
        "--no-seal",
        action="store_true",
        help="restore snapshots without checking their seals: breaks the golden rule, only for experiments",
    )
    group.addoption(
        "--network-scale",
        metavar="N",
        type=_count,
        default=100,
        help="tests/network creates the networks of N VMs at once, tests/scale measures up to N (default: 100)",
    )
    group.addoption(
        "--api-description",
        metavar="FILE",
        help="Firecracker's firecracker.yaml: tests/guest compares every request of the driver with it",
    )
    group.addoption(
        "--evidence",
        choices=WHOSE,
        default=FAILURES,
        help="whose VMs leave console, logs, requests to the VMM and kernel log in the run directory: those of failed "
        "tests (default), or of all tests that use VMs",
    )
    group.addoption(
        "--keep-vms",
        action="store_true",
        help="leave the VMs of failed tests running when the run has ended; `hornetos vm down` removes them",
    )
    group.addoption(
        "--pause-on-failure",
        action="store_true",
        help="wait for Enter at the first failure, with its VMs running: needs a terminal",
    )
    group.addoption(
        "--run-dir", metavar="DIR", help="the directory for records and results (default: HORNET_HOME/reports/<time>)"
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """For `-m conformance`, ignore the other folders of tests. Importing them takes as long as restoring a VM."""
    elsewhere = config.option.markexpr in FOLDERS and collection_path.name != config.option.markexpr
    return True if elsewhere and collection_path.parent == TESTS else None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip slow tests unless --slow is given."""
    if item.get_closest_marker("slow") and not item.config.getoption("slow"):
        pytest.skip("takes minutes: run it with --slow")


def register_markers(config: pytest.Config) -> None:
    """Register every marker, so that a misspelt one is an error."""
    for name, meaning in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")
