"""Checks of phase 4: each accepts a guest that passes its trials, each way to fail one fails exactly its check."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from hornet.checks import health, read_only, runtime_secrets
from hornet.checks.balloon import Balloon, balloon_problems
from hornet.checks.catalog import hardened_checks, scratch_checks
from hornet.spec.model import load_spec
from hornet.vm.probes import ProbeResults
from tests.support.guest_samples import Mutation
from tests.support.scratch_samples import (
    TRIAL,
    good_hardened_facts,
    good_scratch_facts,
    hardened_mutations,
    scratch_mutations,
)

SPEC = load_spec()
CHECKS = {**scratch_checks(SPEC, TRIAL), **hardened_checks(SPEC)}
GOOD = ProbeResults([*good_scratch_facts(SPEC).values(), *good_hardened_facts(SPEC).values()])
MUTATIONS = [*scratch_mutations(SPEC), *hardened_mutations(SPEC)]


def failing(facts: ProbeResults) -> set[str]:
    return {name for name, check in CHECKS.items() if check(facts)}


def test_a_good_guest_passes_every_check() -> None:
    assert failing(GOOD) == set()


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_broken_guest_fails_exactly_its_check(mutation: Mutation) -> None:
    assert failing(mutation.applied_to(GOOD)) == mutation.fails


def test_every_check_is_broken_once() -> None:
    assert {name for mutation in MUTATIONS for name in mutation.fails} == set(CHECKS)


def test_probes_cover_the_facts_of_every_check() -> None:
    probes = health.health_probes(SPEC.health, SPEC.network) + runtime_secrets.injection_probes(SPEC.secrets, TRIAL)
    probes += read_only.read_only_probes(SPEC.read_only_root)
    assert {probe.name for probe in probes} == set(GOOD)


def test_a_secret_on_the_disk_is_found(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(5000) + TRIAL.nonce.encode() + bytes(5000))
    assert runtime_secrets.disk_problems(TRIAL, disk) == ["disk: the secret is on the disk, at byte 5000"]
    disk.write_bytes(bytes(10_000))
    assert runtime_secrets.disk_problems(TRIAL, disk) == []


def test_a_disk_that_changed_is_found() -> None:
    assert read_only.disk_problems("a" * 64, "a" * 64) == []
    assert "changed" in read_only.disk_problems("a" * 64, "b" * 64)[0]


def test_balloon_that_does_not_work_is_detected() -> None:
    good = Balloon(taken_mib=64, before_mb=250, inflated_mb=185, deflated_mb=248)
    assert balloon_problems(good) == []
    assert "takes 250 MB" in balloon_problems(replace(good, inflated_mb=250))[0]
    assert "returned" in balloon_problems(replace(good, deflated_mb=185))[0]


# --- the image's own health check, with commands that say what they are told ---


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """The health check of the image, and where its commands are replaced."""
    from builders.rootfs.guest_files import GuestValues, write_guest_files

    root = tmp_path / "root"
    write_guest_files("common", GuestValues.of_tier(SPEC, "standard"), root)
    return root / SPEC.health.script.lstrip("/")


def health_of(script: Path, *, process: str = "sshd", gateway: bool = True, used_percent: int = 50) -> tuple[int, str]:
    commands = {
        "pidof": f'for name; do [ "$name" = "{process}" ] && exit 0; done; exit 1',
        "ping": "exit 0" if gateway else "exit 1",
        "df": f"echo Filesystem; echo /dev/root 100 50 50 {used_percent}% /",
    }
    box = script.parent / "commands"
    box.mkdir(exist_ok=True)
    for name, body in commands.items():
        (box / name).write_text(f"#!/bin/sh\n{body}\n")
        (box / name).chmod(0o755)
    done = subprocess.run(
        [script], env={"PATH": f"{box}:/usr/bin:/bin"}, capture_output=True, text=True, timeout=20, check=False
    )
    return done.returncode, done.stdout


def test_the_health_check_is_healthy_up_to_its_limit(script: Path) -> None:
    limit = SPEC.health.disk_limit_percent
    assert health_of(script) == (0, "HEALTHY\n")
    assert health_of(script, used_percent=limit - 1) == (0, "HEALTHY\n")
    assert health_of(script, used_percent=limit) == (1, f"UNHEALTHY\nthe disk is {limit} % full\n")


def test_the_health_check_names_every_cause(script: Path) -> None:
    assert health_of(script, process="") == (1, "UNHEALTHY\nno SSH server runs\n")
    assert health_of(script, gateway=False) == (1, "UNHEALTHY\nthe gateway does not answer\n")
    everything = health_of(script, process="", gateway=False, used_percent=100)
    assert everything[1].count("\n") == 4
