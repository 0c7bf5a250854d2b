"""What the driver asks of each release of Firecracker, and what it refuses to ask."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hornet.checks.catalog import checks_in
from hornet.errors import VMError
from hornet.spec.firecracker import (
    Feature,
    Firecracker,
    FirecrackerHazard,
    FirecrackerOptions,
    includes,
    numbers,
)
from hornet.spec.model import Spec
from hornet.vmm.driver import MachineConfig, NetworkCard
from hornet.vmm.firecracker.requests import Release, Request, boot_requests, create_request, load_request

NEWEST = "99.0.0"
# What each option adds to which request, and the feature that it needs.
OPTIONS: Mapping[str, tuple[Any, str, Feature | None]] = {
    "track_dirty_pages": (True, "track_dirty_pages", None),
    "huge_pages": ("2M", "huge_pages", "huge_pages"),
    "cpu_template": ("T2", "cpu_template", None),
    "balloon_statistics_s": (1, "stats_polling_interval_s", None),
    "free_page_reporting": (True, "free_page_reporting", "free_page_reporting"),
    "free_page_hinting": (True, "free_page_hinting", "free_page_hinting"),
    "memory_hotplug_mib": (128, "total_size_mib", "memory_hotplug"),
    "vsock": (True, "guest_cid", None),
    "serial": ("file", "serial_out_path", "serial_file"),
    "shared_file": ("/any/file", "read_only", "pmem"),
    "mmds": (True, "network_interfaces", None),
}
LOAD_OPTIONS: Mapping[str, tuple[Any, str, Feature | None]] = {
    "track_dirty_pages": (True, "track_dirty_pages", "load_tracks_dirty_pages"),
    "memory_backend": ("Uffd", "Uffd", None),
    "resume_in_load": (True, "resume_vm", None),
    "override_tap": (True, "network_overrides", "network_overrides"),
    "override_vsock": (True, "vsock_override", "vsock_override"),
    "clock_realtime": (True, "clock_realtime", "clock_realtime"),
}


@pytest.fixture
def config(spec: Spec, tmp_path: Path) -> MachineConfig:
    card = NetworkCard(None, spec.network.tap_name, spec.network.guest_mac)
    return MachineConfig("vm", tmp_path, tmp_path / "rootfs.ext4", 1, 256, 1, spec.firecracker, card)


def release(spec: Spec, version: str, **options: Any) -> Release:
    chosen = spec.firecracker.options.model_copy(update=options)
    return Release(version, spec.firecracker.model_copy(update={"options": chosen}))


def booted(config: MachineConfig, asked: Release) -> str:
    return str([request.body for request in boot_requests(config, asked, kernel="k", boot_args="quiet")])


def loaded(config: MachineConfig, asked: Release) -> str:
    return str(load_request(config, asked, backend="memory", state="state").body)


@pytest.mark.parametrize("name", OPTIONS)
def test_option_changes_the_boot(name: str, config: MachineConfig, spec: Spec) -> None:
    value, field, _ = OPTIONS[name]
    assert f"'{field}'" not in booted(config, release(spec, NEWEST))
    assert f"'{field}'" in booted(config, release(spec, NEWEST, **{name: value}))


def test_guest_without_a_serial_port_is_told_of_none(config: MachineConfig, spec: Spec) -> None:
    requests = boot_requests(
        config, release(spec, NEWEST, serial="off"), kernel="k", boot_args="console=ttyS0 quiet hornet.ssh_key=x"
    )
    (source,) = [request.body for request in requests if request.path == "/boot-source"]
    assert source["boot_args"] == "quiet hornet.ssh_key=x 8250.nr_uarts=0"


def test_guest_without_a_serial_line_needs_a_vsock(spec: Spec) -> None:
    values = spec.firecracker.options.model_dump() | {"serial": "off", "vsock": False}
    with pytest.raises(ValidationError, match="needs vsock = true"):
        FirecrackerOptions.model_validate(values)


@pytest.mark.parametrize("name", LOAD_OPTIONS)
def test_option_changes_the_load(name: str, config: MachineConfig, spec: Spec) -> None:
    value, field, _ = LOAD_OPTIONS[name]
    without = loaded(config, release(spec, NEWEST))
    assert without != loaded(config, release(spec, NEWEST, **{name: value}))
    assert f"'{field}'" in loaded(config, release(spec, NEWEST, **{name: value}))


NEEDY = [
    *((booted, name, value, feature) for name, (value, _, feature) in OPTIONS.items() if feature),
    *((loaded, name, value, feature) for name, (value, _, feature) in LOAD_OPTIONS.items() if feature),
    (booted, "huge_pages", "Transparent", "transparent_huge_pages"),
]


@pytest.mark.parametrize(
    ("ask", "name", "value", "feature"), [case for case in NEEDY if case[1] != "track_dirty_pages"]
)
def test_option_that_a_release_lacks_is_an_error(
    ask: Any, name: str, value: Any, feature: Feature, config: MachineConfig, spec: Spec
) -> None:
    first = spec.firecracker.features[feature][-1]
    ask(config, release(spec, first, **{name: value}))
    with pytest.raises(
        VMError, match=rf"Firecracker 1\.9\.1 has no {feature}, which .*{name} needs: expected .*{first}"
    ):
        ask(config, release(spec, "1.9.1", **{name: value}))


@pytest.mark.parametrize(
    ("boot_args", "works"),
    [("quiet", True), ("init_on_free=1 quiet", False), ("init_on_free=1 init_on_free=0", True)],
)
def test_page_reporting_without_effect_is_an_error(
    boot_args: str, works: bool, config: MachineConfig, spec: Spec
) -> None:
    asked = release(spec, NEWEST, free_page_reporting=True)
    with nullcontext() if works else pytest.raises(VMError, match="has no effect on a guest with init_on_free=1"):
        boot_requests(config, asked, kernel="k", boot_args=boot_args)
    boot_requests(config, release(spec, NEWEST, free_page_hinting=True), kernel="k", boot_args=boot_args)


TEMPLATE = {"cpuid_modifiers": [{"leaf": "0x7", "subleaf": "0x0", "flags": 1, "modifiers": []}]}


def test_cpu_template_of_ones_own_is_sent_as_it_is(config: MachineConfig, spec: Spec, tmp_path: Path) -> None:
    path = tmp_path / "template.json"
    path.write_text(json.dumps(TEMPLATE))
    requests = boot_requests(config, release(spec, "1.10.0", cpu_config=str(path)), kernel="k", boot_args="")
    assert [request.body for request in requests if request.path == "/cpu-config"] == [TEMPLATE]


@pytest.mark.parametrize(
    ("text", "problem"), [("{", "not valid JSON"), ("[]", "no JSON object"), (None, "no such file")]
)
def test_wrong_cpu_template_is_rejected(
    text: str | None, problem: str, config: MachineConfig, spec: Spec, tmp_path: Path
) -> None:
    path = tmp_path / "template.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(VMError, match=rf"firecracker.options.cpu_config: .*template.json.*{problem}"):
        booted(config, release(spec, "1.10.0", cpu_config=str(path)))


@pytest.mark.parametrize(("version", "field"), [("1.12.1", "enable_diff_snapshots"), ("1.13.0", "track_dirty_pages")])
def test_dirty_pages_have_the_name_of_the_release(version: str, field: str, config: MachineConfig, spec: Spec) -> None:
    body = load_request(config, release(spec, version, track_dirty_pages=True), backend="m", state="s").body
    assert {"enable_diff_snapshots", "track_dirty_pages"} & body.keys() == {field}


def test_diff_snapshot_needs_tracking_before_1_13(spec: Spec) -> None:
    def create(**options: Any) -> Request:
        return create_request(release(spec, "1.12.1", **options), memory="m", state="s", diff=True)

    assert create(track_dirty_pages=True).body["snapshot_type"] == "Diff"
    with pytest.raises(VMError, match="no diff_without_tracking"):
        create()


def test_root_stays_read_only(config: MachineConfig, spec: Spec) -> None:
    """Firecracker appends `rw` to the boot arguments for a writable root device."""
    drives = [
        request.body
        for request in boot_requests(config, release(spec, NEWEST), kernel="k", boot_args="root=/dev/vda ro")
        if request.path.startswith("/drives/")
    ]
    assert [drive["is_root_device"] for drive in drives] == [False]


def test_shared_root_is_the_first_memory_device_and_no_drive(config: MachineConfig, spec: Spec) -> None:
    shared = dataclasses.replace(config, shares_root=True)
    asked = release(spec, NEWEST, shared_file="/any/file")
    found = [
        (request.path, request.body.get("path_on_host"), request.body.get("read_only"))
        for request in boot_requests(shared, asked, kernel="k", boot_args="root=/dev/pmem0 ro")
        if request.path.startswith(("/drives/", "/pmem/"))
    ]
    assert found == [("/pmem/root", "../root", True), ("/pmem/shared", "../shared", True)]


def test_release_without_memory_devices_has_no_shared_root(config: MachineConfig, spec: Spec) -> None:
    shared = dataclasses.replace(config, shares_root=True)
    with pytest.raises(VMError, match=r'1\.13\.2 has no pmem, which root = "shared" of a tier needs'):
        booted(shared, release(spec, "1.13.2"))


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("1.14.3", False),
        ("1.14.4", True),
        ("1.14.9", True),
        ("1.15.0", False),
        ("1.15.1", True),
        ("1.16.0", True),
        ("1.17.0-dev", True),
        ("2.0.0", True),
        ("dev", False),
    ],
)
def test_backported_feature_is_in_its_releases_only(version: str, expected: bool) -> None:
    assert includes(["1.14.4", "1.15.1", "1.16.0"], version) is expected


releases = st.tuples(*[st.integers(0, 30)] * 3).map(lambda parts: ".".join(map(str, parts)))


@given(first=st.lists(releases, min_size=1, max_size=4), version=releases)
def test_what_the_newest_list_entry_has_stays(first: list[str], version: str) -> None:
    ordered = sorted(first, key=numbers)
    assert includes(ordered, ordered[-1])
    if numbers(version) >= numbers(ordered[-1]):
        assert includes(ordered, version)
    if numbers(version) < numbers(ordered[0]):
        assert not includes(ordered, version)


@pytest.mark.parametrize(
    ("version", "kernel", "expected"),
    [
        ("1.15.1", "6.1.192", {"serial-stuck", "vsock-times-out"}),
        ("1.15.0", "6.12.0", {"clock-jumps", "serial-stuck", "vsock-times-out"}),
        ("1.16.0", "6.1.192", {"vsock-times-out"}),
        ("1.16.1", "6.1.192", set()),
        ("1.16.1", "5.10.225", {"no-vmgenid-driver"}),
    ],
)
def test_hazards_are_those_of_release_and_guest(version: str, kernel: str, expected: set[str], spec: Spec) -> None:
    assert spec.firecracker.hazards_of(version, kernel).keys() == expected


def test_hazard_ends_where_the_table_says() -> None:
    hazard = FirecrackerHazard(mended=["1.16.0"], from_kernel="6.10", fails=[], text="of old guests")
    assert hazard.concerns("1.15.1", "6.9")
    assert not hazard.concerns("1.15.1", "6.10")
    assert not hazard.concerns("1.16.0", "6.9")
    assert hazard.with_remedy == "of old guests (mended in Firecracker 1.16.0; not in guests from Linux 6.10 on)"


def test_hazard_without_an_end_is_rejected() -> None:
    with pytest.raises(ValidationError, match="name the releases or the guests that lack it"):
        FirecrackerHazard(mended=[], fails=[], text="of all")


def test_known_hazard_explains_the_check_that_finds_it(spec: Spec) -> None:
    found = ["Firecracker 1.10.1: clock-jumps: it jumps", "Firecracker 1.10.1: serial-stuck: it is stuck"]
    assert spec.firecracker.explain("monotonic_clock", found) == ["known: Firecracker 1.10.1: clock-jumps: it jumps"]
    assert spec.firecracker.explain("monotonic_clock", found[1:]) == []
    assert spec.firecracker.explain("boot_id", found) == []


def test_each_hazard_names_checks_that_exist(spec: Spec) -> None:
    named = {check for hazard in spec.firecracker.hazards.values() for check in hazard.fails}
    assert named
    assert named <= {check.label for check in checks_in("hazard")}


def test_table_without_a_feature_is_rejected(spec: Spec) -> None:
    table = spec.firecracker.model_dump()
    assert table["features"].keys() == set(get_args(Feature))
    del table["features"]["clock_realtime"]
    with pytest.raises(ValidationError, match="missing: clock_realtime"):
        Firecracker.model_validate(table)
