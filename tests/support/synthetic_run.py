"""Run directories for tests of the reports. Every figure here is made up; the host says so."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from hornet.results.collected import COLLECTED_FILE
from hornet.results.junit import METRIC_PROPERTY, module_name
from hornet.results.records import RECORDS_FILE, Direction, Record, append_record

HOST = {"cpu": "Synthetic CPU (no measurement)", "cores": 2, "memory_mib": 8192, "kernel": "0.0-synthetic"}
PHASES_MS = {"namespace": 3.1, "disk": 11.0, "process_start": 24.0, "load": 3.0, "resume": 0.4, "first_reply": 18.0}
COMPONENTS_MB = {"Node.js 20": 71.3, "Shared libraries": 26.0, "Claude Code": 21.0, "Git": 12.9, "OpenSSH": 5.9}
CASES = [
    ("tests.conformance.test_tools", "test_tool_works[node]", "passed", ""),
    ("tests.conformance.test_tools", "test_tool_works[git]", "passed", ""),
    ("tests.conformance.test_sizes", "test_rootfs_fits_its_tier", "passed", ""),
    ("tests.selftest.test_kernel", "test_flags", "skipped", "the image has no /proc/config.gz"),
    ("tests.procedures.test_rollback", "test_rollback_restores_the_backup", "passed", ""),
    ("tests.network.test_topology", "test_topology[vm1]", "passed", ""),
    ("tests.perf.test_targets", "test_restore_target", "skipped", "not judged: emulated"),
]


OF_A_METRIC = f'<properties><property name="{METRIC_PROPERTY}" value="snapshot_restore"/></properties>'


def restore_record(
    *, seed: int, slower: float = 1.0, runs: int = 30, lane: str = "qemu/tcg", **dimensions: Any
) -> Record:
    """A restore by phases, each phase scattered by a few percent; `slower` multiplies every phase."""
    chance = random.Random(seed)
    samples = [
        {name: ms * slower * chance.lognormvariate(0, 0.08) for name, ms in PHASES_MS.items()} for _ in range(runs)
    ]
    return Record.of_runs("snapshot_restore", samples, unit="ms", lane=lane, host=HOST, dimensions=dimensions)


def records(*, seed: int = 1, slower: float = 1.0, lane: str = "qemu/tcg") -> list[Record]:
    def single(name: str, value: float, unit: str, direction: Direction, lane: str | None, **dimensions: Any) -> Record:
        return Record(
            name=name, value=value, unit=unit, direction=direction, lane=lane, dimensions=dimensions, host=HOST
        )

    boot = [{"process_start": 25.0, "kernel": 850.0 + n, "init": 160.0, "sshd": 300.0} for n in range(5)]
    memory = [{"guest_private": 3.0 + n, "guest_shared": 9.0, "vmm_private": 14.0, "vmm_shared": 2.5} for n in range(4)]
    return [
        single("rootfs_size", 149.9996, "MB", "lower", None, tier="standard"),
        single("kernel_size", 5.61, "MB", "lower", None),
        Record.of_runs(
            "ram_per_vm", memory, unit="MB", lane=lane, host=HOST, dimensions={"clones": 4, "state": "idle"}
        ),
        Record.of_runs("cold_boot", boot, unit="ms", lane=lane, host=HOST),
        restore_record(seed=seed, slower=slower, lane=lane, page_cache="hot"),
        restore_record(seed=seed + 1, slower=2.2 * slower, lane=lane, page_cache="cold"),
    ]


def junit_xml(cases: list[tuple[str, str, str, str]]) -> str:
    def body(outcome: str, message: str) -> str:
        if outcome == "failed":
            return f"<failure message={quoteattr(message)}>E   {message.replace('<', '&lt;')}\nconsole: panic</failure>"
        return f'<skipped type="pytest.skip" message={quoteattr(message)}/>' if outcome == "skipped" else ""

    lines = [
        f'<testcase classname="{module}" name={quoteattr(name)} time="0.25">'
        f"{OF_A_METRIC if module.endswith('.test_targets') else ''}{body(outcome, message)}</testcase>"
        for module, name, outcome, message in cases
    ]
    return f'<?xml version="1.0" encoding="utf-8"?><testsuites><testsuite>{"".join(lines)}</testsuite></testsuites>'


def collected_in(cases: list[tuple[str, str, str, str]]) -> dict[str, list[str]]:
    """The tests of these cases by module, as a run notes them."""
    found: dict[str, list[str]] = {}
    for module, name, _, _ in cases:
        found.setdefault(module_name(module.split(".")), []).append(name)
    return found


def make_run(directory: Path, **changes: Any) -> Path:
    """A complete run directory. `changes`: records=[…], cases=[…], or a file name (dots as __) with its text, None
    to leave it out."""
    directory.mkdir(parents=True)
    cases = changes.pop("cases", CASES)
    files = {
        "host.json": json.dumps(HOST),
        "artifacts.json": json.dumps(
            {
                "kernel": {"version": "6.1.0-synthetic", "size_mb": 5.61, "sha256": "0" * 64},
                "rootfs": {"tier": "standard", "sha256": "1" * 64, "size_mb": 149.9996, "components_mb": COMPONENTS_MB},
                "snapshot": {"version": "v0-synthetic", "memory_mib": 256},
            }
        ),
        "junit.xml": junit_xml(cases),
        COLLECTED_FILE: json.dumps(collected_in(cases)),
    }
    for record in changes.pop("records", records()):
        append_record(directory, record)
    for name, text in {**files, **{key.replace("__", "."): text for key, text in changes.items()}}.items():
        if text is None:
            (directory / name).unlink(missing_ok=True)
        else:
            (directory / name).write_text(text)
    return directory


__all__ = ["CASES", "COMPONENTS_MB", "HOST", "RECORDS_FILE", "junit_xml", "make_run", "records", "restore_record"]
