"""A process that restores a VM and holds it until its standard input closes: python -m, with a request as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

from hornet.host.workspace import Workspace
from hornet.network.ownership import host_of_this_run
from hornet.snapshot import open_bundle
from hornet.spec.model import Spec
from hornet.vm.fleet import Fleet
from hornet.vm.guest import ssh_key
from hornet.vmm.registry import lane_named


class Request(NamedTuple):
    """home: of the VM. lane: its name. snapshot: a directory. spec: the whole specification, as data."""

    home: str
    lane: str
    snapshot: str
    spec: dict[str, Any]


def main() -> None:
    """Read a request, restore the VM, wait for the end of the input."""
    request = Request(**json.loads(sys.stdin.readline()))
    spec, home = Spec.model_validate(request.spec), Workspace(Path(request.home))
    with (
        host_of_this_run(spec.network, private=True) as net,
        Fleet(spec, home, lane_named(request.lane), net, ssh_key(home)) as fleet,
    ):
        fleet.restore(open_bundle(Path(request.snapshot), spec.snapshot))
        sys.stdin.read()


if __name__ == "__main__":
    main()
