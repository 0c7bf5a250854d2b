"""Run directories for tests of the reports. Every figure here is made up; the host says so."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hornet.results.collected import COLLECTED_FILE, IMAGE_SUITES
from hornet.results.outcomes import OUTCOMES_FILE, Case, Result
from hornet.results.records import KNOWN, RAN, RECORDS_FILE, Direction, Record, append_record
from hornet.results.run_end import RESULTS
from hornet.results.run_info import RUN_FILE, RunInfo, begin_session, end_session
from hornet.spec.model import Spec, load_spec
from hornet.spec.requirements import Requirement

HOST = {"cpu": "Synthetic CPU (no measurement)", "cores": 2, "memory_mib": 8192, "kernel": "0.0-synthetic"}
PHASES_MS = {"namespace": 3.1, "disk": 11.0, "process_start": 24.0, "load": 3.0, "resume": 0.4, "first_reply": 18.0}
COMPONENTS_MB = {"Node.js 20": 71.3, "Shared libraries": 26.0, "Claude Code": 21.0, "Git": 12.9, "OpenSSH": 5.9}
CASES = [
    Case(test="conformance/test_tools::test_tool_works[node]", result=Result.PASSED, requirements=("tool-node",)),
    Case(test="conformance/test_tools::test_tool_works[git]", result=Result.PASSED, requirements=("tool-git",)),
    Case(test="conformance/test_sizes::test_rootfs_fits_its_tier", result=Result.PASSED, duration_s=0.25),
    Case(test="selftest/test_kernel::test_flags", result=Result.NOT_JUDGED, reason="the image has no /proc/config.gz"),
    Case(test="procedures/test_rollback::test_rollback_restores_the_backup", result=Result.PASSED),
    Case(test="network/test_topology::test_topology[vm1]", result=Result.PASSED),
    Case(
        test="perf/test_targets::test_restore_target",
        result=Result.NOT_JUDGED,
        reason="not judged: emulated",
        metric="snapshot_restore",
        needs_kvm=True,
    ),
]


def restore_record(
    *,
    seed: int,
    slower: float = 1.0,
    runs: int = 30,
    lane: str = "qemu/tcg",
    name: str = "snapshot_restore",
    **dimensions: Any,
) -> Record:
    """A restore by phases, each phase scattered by a few percent; `slower` multiplies every phase."""
    chance = random.Random(seed)
    samples = [
        {name: ms * slower * chance.lognormvariate(0, 0.08) for name, ms in PHASES_MS.items()} for _ in range(runs)
    ]
    return Record.of_runs(name, samples, unit="ms", lane=lane, host=HOST, dimensions=dimensions)


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


def instruction_records() -> list[Record]:
    """Instructions of a boot and of two commands, in the only lane that counts them."""

    def counted(name: str, parts: dict[str, float], **dimensions: Any) -> Record:
        samples = [parts] * 3
        unit = "M instructions"
        return Record.of_runs(name, samples, unit=unit, lane="qemu/tcg", host=HOST, dimensions=dimensions)

    return [
        counted("instructions_boot", {"userland": 260.0, "sshd": 190.0}),
        counted("instructions_command", {"instructions": 161.0}, command="node"),
        counted("instructions_command", {"instructions": 498.0}, command="claude"),
    ]


def concurrency_records(lane: str = "qemu/tcg") -> list[Record]:
    """Concurrent restores of one snapshot and of several. Four at once are no faster than two."""
    found = []
    for snapshots in ("one", "several"):
        for at_once, per_second in ((1, 9.0), (2, 16.0), (4, 17.0)):
            facts: dict[str, Any] = {
                "lane": lane,
                "host": HOST,
                "dimensions": {"at_once": at_once, "snapshots": snapshots},
            }
            samples = [110.0 * at_once + number for number in range(at_once)]
            one: dict[str, Any] = {"name": "restore_at_once", "unit": "ms", "direction": "lower"}
            many: dict[str, Any] = {"name": "restores_per_second", "unit": "per s", "direction": "higher"}
            found += [
                Record(value=samples[0], samples=samples, **one, **facts),
                Record(value=per_second, **many, **facts),
            ]
    return found


def after_restore_records(lane: str = "qemu/tcg") -> list[Record]:
    """Two steps after a restore. Only the cold one reads from the disk."""
    found = []
    for page_cache, factor in (("hot", 0.0), ("cold", 1.0)):
        for step, ms, read_mb, faults in (("restore", 1100.0, 31.0, 7000.0), ("node", 2300.0, 44.0, 9000.0)):
            facts: dict[str, Any] = {"lane": lane, "host": HOST, "direction": "lower"}
            about: dict[str, str | int | float] = {"step": step, "page_cache": page_cache}
            found += [
                Record(name="after_restore", value=ms, unit="ms", dimensions=about, **facts),
                Record(name="after_restore_read", value=read_mb * factor, unit="MB", dimensions=about, **facts),
                *(
                    Record(
                        name="after_restore_faults",
                        value=value,
                        unit="faults",
                        dimensions={**about, "kind": kind},
                        **facts,
                    )
                    for kind, value in (("minor_faults", faults), ("major_faults", faults * factor / 20))
                ),
            ]
    return found


def green_cases(requirements: Iterable[Requirement], tier: str = "standard", lane: str = "qemu/kvm") -> list[Case]:
    """One passed test for each requirement that a run of this tier judges by tests."""
    return [
        Case(
            test=f"conformance/test_tools::test_{item.id}",
            result=Result.PASSED,
            requirements=(item.id,),
            lane=lane,
        )
        for item in requirements
        if item.scope == "image" and item.applies_to(tier) and not item.not_covered
    ] + [Case(test=f"{suite}/test_x::test_y", result=Result.PASSED) for suite in IMAGE_SUITES[1:]]


def met_records(spec: Spec, lane: str = "qemu/kvm", tier: str = "standard") -> list[Record]:
    """Every target metric, just met."""
    return [
        Record(
            name=key,
            value=spec.target(key, tier),
            unit=metric.unit,
            direction=metric.direction,
            lane=lane,
            dimensions={"tier": tier} if metric.target_tier else {KNOWN: RAN} if metric.must_run else {},
            host=HOST,
        )
        for key, metric in spec.metrics.items()
    ]


def collected_in(cases: Sequence[Case]) -> dict[str, dict[str, list[str]]]:
    """The tests of these cases by module, as a run notes them."""
    found: dict[str, dict[str, list[str]]] = {}
    for case in cases:
        found.setdefault(case.module, {})[case.name] = list(case.requirements)
    return found


def lines(cases: Sequence[Case]) -> str:
    """The cases as outcomes.jsonl has them."""
    return "".join(json.dumps(case.model_dump(mode="json")) + "\n" for case in cases)


def make_run(directory: Path, **changes: Any) -> Path:
    """A complete run directory, closed. `changes`: records=[…], cases=[…], or a file name (dots as __) with its text,
    None to leave it out."""
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
        OUTCOMES_FILE: lines(cases),
        COLLECTED_FILE: json.dumps(collected_in(cases)),
    }
    for record in changes.pop("records", records()):
        append_record(directory, record)
    begin_session(directory, RunInfo(tier="standard"), ["pytest"], load_spec().model_dump(mode="json"), 0.1)
    changed = {key.replace("__", "."): text for key, text in changes.items()}
    for name, text in {**files, **changed}.items():
        if text is None:
            (directory / name).unlink(missing_ok=True)
        else:
            (directory / name).write_text(text)
    if RUN_FILE not in changed:
        end_session(directory, 0, {}, RESULTS)
    return directory


def date_run(directory: Path, started: str, ended: str | None = None) -> None:
    """Let the only session of a run have begun and ended at other times; without an end, at once."""
    info = json.loads((directory / RUN_FILE).read_text())
    info["sessions"][0] |= {"started": started, "ended": ended or started}
    (directory / RUN_FILE).write_text(json.dumps(info))


__all__ = ["CASES", "COMPONENTS_MB", "HOST", "RECORDS_FILE", "lines", "make_run", "records", "restore_record"]
