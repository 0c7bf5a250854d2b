"""Every request that the driver can send, against Firecracker's API description: no VM and no Firecracker is needed.

    pytest -s tests/selftest/test_firecracker_contract.py --api-description=FILE

FILE is src/firecracker/swagger/firecracker.yaml of Firecracker's repository. Without it nothing is judged.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from inspect import isfunction
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from hornet.spec.model import Spec
from hornet.vmm.driver import MachineConfig, NetworkCard
from hornet.vmm.firecracker.driver import METRICS_REQUEST
from hornet.vmm.firecracker.machine import FirecrackerVM
from hornet.vmm.firecracker.requests import Release, boot_requests, create_request, load_request
from tests.support.api_description import ApiDescription

NEWEST = "99.0.0"
ALL_OPTIONS: dict[str, Any] = {
    "track_dirty_pages": True,
    "huge_pages": "Transparent",
    "memory_backend": "Uffd",
    "resume_in_load": True,
    "override_tap": True,
    "override_vsock": True,
    "clock_realtime": True,
    "cpu_template": "T2A",
    "deflate_on_oom": True,
    "balloon_statistics_s": 1,
    "free_page_reporting": True,
    "free_page_hinting": True,
    "memory_hotplug_mib": 128,
    "vsock": True,
    "serial": "file",
    "shared_file": "/any/file",
    "mmds": True,
}
TEMPLATE = {
    "kvm_capabilities": ["!121"],
    "cpuid_modifiers": [
        {
            "leaf": "0x7",
            "subleaf": "0x0",
            "flags": 1,
            "modifiers": [{"register": "ebx", "bitmap": f"0bxx0{'x' * 29}"}],
        }
    ],
    "msr_modifiers": [{"addr": "0x10a", "bitmap": f"0b{'x' * 64}"}],
}
CALLS: list[Callable[[Any], Any]] = [
    lambda vm: FirecrackerVM.pause(vm),
    lambda vm: FirecrackerVM.resume(vm),
    lambda vm: FirecrackerVM.exchange_disk(vm, "rootfs.ext4"),
    lambda vm: FirecrackerVM.set_balloon(vm, 1),
    lambda vm: FirecrackerVM.balloon_statistics(vm),
    lambda vm: FirecrackerVM.start_hinting(vm),
    lambda vm: FirecrackerVM.plug_memory(vm, 128),
    lambda vm: FirecrackerVM.set_metadata(vm, {"latest": {}}),
    lambda vm: FirecrackerVM.flush_metrics(vm),
]


Asked = dict[str, Any]


def of_a_running_vm(directory: Path) -> Iterator[Asked]:
    vm = Mock(spec=FirecrackerVM, _resumed_by_load=False, _work=Mock(), config=Mock(directory=directory))
    vm.call.return_value = {}
    for call in CALLS:
        call(vm)
    for method, path, *body in (each.args for each in vm.call.call_args_list):
        yield {"method": method, "path": path, "body": body[0] if body else None}


def everything(spec: Spec, directory: Path) -> list[Asked]:
    """What the driver asks in the life of a VM and of a clone, with all options of the lane at once."""
    template = directory / "template.json"
    template.write_text(json.dumps(TEMPLATE))
    chosen = spec.firecracker.options.model_copy(update={**ALL_OPTIONS, "cpu_config": str(template)})
    release = Release(NEWEST, spec.firecracker.model_copy(update={"options": chosen}))
    card = NetworkCard(None, spec.network.tap_name, spec.network.guest_mac)
    config = MachineConfig("vm", directory, directory / "rootfs.ext4", 1, 256, 1, release.table, card)
    built = [
        *boot_requests(config, release, kernel="vmlinux", boot_args="quiet"),
        *boot_requests(replace(config, shares_root=True), release, kernel="vmlinux", boot_args="quiet"),
        *(create_request(release, memory="m", state="s", diff=diff) for diff in (False, True)),
        METRICS_REQUEST,
        load_request(config, release, backend="m", state="s"),
    ]
    return [*map(asdict, built), *of_a_running_vm(directory)]


def test_all_options_are_asked_for(spec: Spec) -> None:
    """None is left out here that the driver turns into a request; the others concern the process."""
    others = {"cpu_config", "jailer", "jailer_cgroups"}
    assert ALL_OPTIONS.keys() | others == set(type(spec.firecracker.options).model_fields)
    unchanged = spec.firecracker.options.model_dump()
    assert not {name for name, value in ALL_OPTIONS.items() if unchanged[name] == value}


def test_every_method_of_a_vm_that_asks_is_called() -> None:
    methods = {name: each.__code__ for name, each in vars(FirecrackerVM).items() if isfunction(each)}
    asking = {name for name, code in methods.items() if "call" in code.co_names}
    called = {name for call in CALLS for name in call.__code__.co_names}
    assert asking - called == {"send", "_explained_call"}


def test_every_request_follows_the_api_description(spec: Spec, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    if not (given := pytestconfig.getoption("api_description")):
        pytest.skip("not judged: no --api-description=FILE, Firecracker's src/firecracker/swagger/firecracker.yaml")
    description = ApiDescription.read(Path(given))
    requests = everything(spec, tmp_path)
    assert [problem for request in requests for problem in description.problems(request)] == []
    print(f"API {description.version}: {description.coverage(requests)} are used")
