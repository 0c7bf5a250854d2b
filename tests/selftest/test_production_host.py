"""`hornetos host --production`: every rule finds its bad value in a tree of fixture files, and accepts the good one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from hornet.host.production import Finding, production_findings
from hornet.spec.model import load_spec
from hornet_cli.app import app
from reports.schemas import schema_of

SPEC = load_spec()
CPUS = "sys/devices/system/cpu"
SWAPS = "Filename\tType\tSize\tUsed\tPriority\n"
CGROUP = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid"
# By rule: file, the content that is fine, and the one that is not.
SETTINGS = {
    "smt": (f"{CPUS}/smt/control", "forceoff\n", "on\n"),
    "ksm": ("sys/kernel/mm/ksm/run", "0\n", "1\n"),
    "swap": ("proc/swaps", SWAPS, f"{SWAPS}/dev/sda2 partition 1048572 0 -2\n"),
    "mitigations": (f"{CPUS}/vulnerabilities/mds", "Mitigation: Clear CPU buffers\n", "Vulnerable; SMT on\n"),
    "nx_huge_pages": ("sys/module/kvm/parameters/nx_huge_pages", "never\n", "N\n"),
    "favordynmods": ("proc/mounts", f"{CGROUP},favordynmods 0 0\n", f"proc /proc proc rw 0 0\n{CGROUP} 0 0\n"),
    "transparent_huge_pages": (
        "sys/kernel/mm/transparent_hugepage/enabled",
        "always [madvise] never\n",
        "[always] madvise never\n",
    ),
    "console": ("proc/sys/kernel/printk", "1\t4\t1\t7\n", "4\t4\t1\t7\n"),
    "governor": (f"{CPUS}/cpu1/cpufreq/scaling_governor", "performance\n", "powersave\n"),
    "turbo_intel": (f"{CPUS}/intel_pstate/no_turbo", "1\n", "0\n"),
    "turbo_boost": (f"{CPUS}/cpufreq/boost", "0\n", "1\n"),
    "ptys": ("proc/sys/kernel/pty/max", "4096\n", "1024\n"),
    "kernel": ("proc/sys/kernel/osrelease", "6.1.0-9-cloud-amd64\n", "6.12.3\n"),
}
LIMITS = {name: limit for name, limit in SPEC.capacity.limits.items() if limit.path}
# Limits of one VMM do not grow with the number of VMs.
VMS = 1000


def write(root: Path, name: str, text: str) -> None:
    path = root / name.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def good_host(tmp_path: Path) -> Path:
    """A root with every setting as wanted."""
    for file, good, _ in SETTINGS.values():
        write(tmp_path, file, good)
    write(tmp_path, f"{CPUS}/cpu0/cpufreq/scaling_governor", "performance\n")
    write(tmp_path, f"{CPUS}/vulnerabilities/itlb_multihit", "Not affected\n")
    for limit in LIMITS.values():
        write(tmp_path, str(limit.path), f"{int(limit.per_vm * VMS)}\n")
    return tmp_path


def findings(root: Path) -> dict[str, Finding]:
    found = production_findings(SPEC.production, SPEC.capacity.limits, VMS, root)
    return {item.name: item for item in found}


def test_every_rule_has_a_good_and_a_bad_value() -> None:
    assert SETTINGS.keys() == SPEC.production.keys()


def test_a_host_with_every_setting_as_wanted_is_fine(good_host: Path) -> None:
    assert {item.fine for item in findings(good_host).values()} == {True}


@pytest.mark.parametrize("name", SETTINGS)
def test_each_bad_value_is_found_and_shown_with_its_remedy(name: str, good_host: Path) -> None:
    file, _, bad = SETTINGS[name]
    write(good_host, file, bad)
    found = findings(good_host)
    assert [item.name for item in found.values() if item.fine is not True] == [name]
    assert found[name].found
    assert found[name].why
    assert found[name].change


@pytest.mark.parametrize("name", LIMITS)
def test_each_limit_that_is_too_low_is_found(name: str, good_host: Path) -> None:
    limit = LIMITS[name]
    write(good_host, str(limit.path), "1\n" if limit.per_vm > 1 else "7\n")
    found = findings(good_host)
    assert [item.name for item in found.values() if item.fine is not True] == [name]
    assert found[name].change.startswith("sysctl ")


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_that_is_not_there_is_fine_or_unknown_as_the_spec_says(name: str, good_host: Path) -> None:
    for path in good_host.glob(SPEC.production[name].files[0]):
        path.unlink()
    found = findings(good_host)
    expected = True if SPEC.production[name].absent == "fine" else None
    assert name == "mitigations" or found[name].fine is expected


def test_huge_pages_of_code_may_be_split_on_a_processor_that_needs_it(good_host: Path) -> None:
    write(good_host, f"{CPUS}/vulnerabilities/itlb_multihit", "KVM: Mitigation: Split huge pages\n")
    write(good_host, SETTINGS["nx_huge_pages"][0], "Y\n")
    assert "nx_huge_pages" not in findings(good_host)


def test_a_kernel_that_moves_threads_quickly_needs_no_remedy_for_it(good_host: Path) -> None:
    write(good_host, "proc/sys/kernel/osrelease", "5.10.0-30-amd64\n")
    write(good_host, SETTINGS["nx_huge_pages"][0], "N\n")
    assert findings(good_host).keys().isdisjoint({"nx_huge_pages", "favordynmods"})
    write(good_host, "proc/sys/kernel/osrelease", "6.18.2\n")
    assert findings(good_host).keys() & {"nx_huge_pages", "favordynmods"} == {"favordynmods"}


def test_cgroup_v1_may_have_favordynmods_too(good_host: Path) -> None:
    write(good_host, "proc/mounts", "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu,favordynmods 0 0\n")
    assert findings(good_host)["favordynmods"].fine is True


def test_one_wrong_processor_is_named(good_host: Path) -> None:
    write(good_host, f"{CPUS}/cpu0/cpufreq/scaling_governor", "schedutil\n")
    assert findings(good_host)["governor"].found == "schedutil"
    write(good_host, f"{CPUS}/vulnerabilities/l1tf", "Vulnerable\n")
    assert findings(good_host)["mitigations"].found == "l1tf: Vulnerable"


def test_odd_and_hostile_values_are_shown_on_one_line(good_host: Path) -> None:
    write(good_host, SETTINGS["ksm"][0], "1\x1b[2J\n")
    write(good_host, "proc/sys/kernel/pid_max", "many\n")
    found = findings(good_host)
    assert found["ksm"].fine is False
    assert "\x1b" not in found["ksm"].found
    assert (found["processes"].fine, found["processes"].found) == (None, "many")


@pytest.mark.parametrize("text", ["json", "table"])
def test_the_command_answers_about_this_host(text: str) -> None:
    words = ["host", "--production", "--vms", "60", *(["--json"] if text == "json" else [])]
    result = CliRunner().invoke(app, words)
    assert result.exit_code in (0, 1, 2), result.output
    if text == "json":
        answer = json.loads(result.stdout)
        Draft202012Validator(schema_of("production")).validate(answer)
        assert answer["vms"] == 60
        found = answer["production"]
        bad, unknown = ([item for item in found if item["fine"] is state] for state in (False, None))
        assert result.exit_code == (1 if bad else 2 if unknown else 0)
        assert {item["name"] for item in found} >= LIMITS.keys()


def test_vms_without_production_is_refused() -> None:
    result = CliRunner().invoke(app, ["host", "--vms", "60"])
    assert "--production" in str(result.exception)
