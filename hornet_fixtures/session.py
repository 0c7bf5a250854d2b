"""The fixtures of a whole test run: spec, workspace, host network, lane, and the VMs of this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hornet.errors import HostError
from hornet.host.facts import require_root
from hornet.host.progress import Progress
from hornet.host.workspace import Workspace
from hornet.network import HostNet
from hornet.network.ownership import host_of_this_run
from hornet.snapshot import Manifest
from hornet.spec.lane import Lane
from hornet.spec.model import Spec, load_spec
from hornet.vm.fleet import Fleet
from hornet.vm.guest import SshKey, read_ssh_key, ssh_key
from hornet.vm.lanes import best_lane, probe_lanes, require_lane
from hornet.vmm.registry import lane_named
from hornet_fixtures.evidence import RUN_EVIDENCE
from hornet_fixtures.options import spec_files
from hornet_fixtures.vm_users import current_user

PROGRESS = pytest.StashKey[Progress]()


def read_spec(config: pytest.Config) -> Spec:
    """The specification that the command line selects. Parametrization needs it before fixtures exist."""
    return load_spec(*spec_files(config))


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """End the run with one message if tests need VMs and the user is not root, instead of one error per test."""
    if session.config.option.collectonly:
        return
    if any("host_net" in getattr(item, "fixturenames", ()) for item in session.items):
        try:
            require_root()
        except HostError as error:
            pytest.exit(str(error), returncode=2)


@pytest.fixture(scope="session")
def spec(pytestconfig: pytest.Config) -> Spec:
    """The specification, with the overlays of the command line."""
    return read_spec(pytestconfig)


@pytest.fixture(scope="session")
def workspace() -> Workspace:
    """HORNET_HOME."""
    return Workspace.from_env()


@pytest.fixture(scope="session")
def progress(pytestconfig: pytest.Config) -> Progress:
    """Shows the progress of builds on the terminal."""
    return pytestconfig.stash[PROGRESS]


@pytest.fixture(scope="session")
def key(pytestconfig: pytest.Config, workspace: Workspace) -> SshKey:
    """The key pair that guests accept: --ssh-key, else the one in HORNET_HOME."""
    given = pytestconfig.getoption("ssh_key")
    return read_ssh_key(Path(given)) if given else ssh_key(workspace)


@pytest.fixture(scope="session")
def host_net(pytestconfig: pytest.Config, spec: Spec) -> Iterator[HostNet]:
    """The host's network: a private one unless --host-network is given.

    Leftovers of killed runs are removed first.
    """
    with host_of_this_run(spec.network, private=not pytestconfig.getoption("host_network")) as net:
        yield net


@pytest.fixture(scope="session")
def lane(pytestconfig: pytest.Config, spec: Spec, workspace: Workspace, request: pytest.FixtureRequest) -> Lane:
    """The lane of --lane, else that of --snapshot, else the best one that was proved on this host."""
    snapshot = pytestconfig.getoption("snapshot")
    wanted = pytestconfig.getoption("lane") or (Manifest.read(Path(snapshot)).origin.lane if snapshot else None)
    if wanted and snapshot:  # a snapshot needs no kernel, without which there is no proof
        return lane_named(wanted)
    if wanted:
        try:
            return require_lane(workspace, request.getfixturevalue("kernel"), spec, wanted)
        except HostError as error:
            pytest.exit(str(error), returncode=2)
    return best_lane(probe_lanes(workspace, request.getfixturevalue("kernel"), spec))


@pytest.fixture(scope="session")
def fleet(
    pytestconfig: pytest.Config, spec: Spec, workspace: Workspace, lane: Lane, host_net: HostNet, key: SshKey
) -> Iterator[Fleet]:
    """VMs for tests. VMs that a test leaves running end with the session."""
    check_seals = not pytestconfig.getoption("no_seal")
    with Fleet(spec, workspace, lane, host_net, key, check_seals=check_seals, **_observed(pytestconfig)) as vms:
        yield vms


def _observed(config: pytest.Config) -> dict[str, Any]:
    """The arguments with which a fleet keeps evidence in the run directory, and VMs of failed tests on request."""
    evidence = config.stash[RUN_EVIDENCE]
    return {
        "evidence": evidence.store,
        "on_remove": evidence.note_removal,
        "started_by": current_user,
        "keep_failed": config.getoption("keep_vms") or config.getoption("pause_on_failure"),
    }


@pytest.fixture(scope="session")
def new_fleet(
    pytestconfig: pytest.Config, spec: Spec, workspace: Workspace, lane: Lane, host_net: HostNet, key: SshKey
) -> Callable[..., Fleet]:
    """Creates another fleet, for use in a test's `with`. It has the settings of `fleet` except those given.

    new_fleet(workspace=…, host_net=…, key=…, check_seals=…, count_instructions=…, memory_mib=…). memory_mib stands for
    any value of the spec's machine.
    """

    def make(
        *,
        spec: Spec = spec,
        workspace: Workspace = workspace,
        host_net: HostNet = host_net,
        key: SshKey = key,
        check_seals: bool = True,
        count_instructions: bool = False,
        **machine: int | float | str,
    ) -> Fleet:
        changed = spec.model_copy(update={"machine": spec.machine.model_copy(update=machine)})
        return Fleet(
            changed,
            workspace,
            lane,
            host_net,
            key,
            check_seals=check_seals,
            count_instructions=count_instructions,
            **_observed(pytestconfig),
        )

    return make
