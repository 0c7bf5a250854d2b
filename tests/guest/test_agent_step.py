"""The scripted step of an agent's work runs in a real guest, and fails where the guest does not do its part."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hornet.errors import GuestError
from hornet.host.workspace import Workspace
from hornet.scenarios.agent_step import bare_repository, parts_for, run_part, run_step, step_server
from hornet.scenarios.model_api import MESSAGES
from hornet.snapshot import Bundle
from hornet.spec.model import Spec
from hornet.vm.fleet import VM, Fleet


@pytest.fixture(scope="module")
def files(spec: Spec, workspace: Workspace) -> dict[str, bytes]:
    return bare_repository(spec.agent_step, workspace.run)


@pytest.fixture(scope="module")
def vm(fleet: Fleet, bundle: Bundle) -> Iterator[VM]:
    vm = fleet.restore(bundle)
    yield vm
    fleet.remove(vm)


def test_a_guest_does_the_whole_step(vm: VM, spec: Spec, tier_name: str, files: dict[str, bytes]) -> None:
    server = run_step(vm, spec, tier_name, files)
    assert (MESSAGES in server.messages) == ("claude" in spec.tools_of(tier_name))


def test_a_guest_without_its_repository_fails(vm: VM, spec: Spec, tier_name: str) -> None:
    clone, *_ = parts_for(spec, tier_name)
    with step_server(vm, spec, {}) as server, pytest.raises(GuestError, match="part 'clone'"):
        run_part(vm, clone, spec, server)
