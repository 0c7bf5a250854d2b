"""`hornetos compare`: what it refuses, the order of its sessions, and its answers from made-up sessions."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from hornet.scenarios.side_by_side import interleave, samples_by_part
from hornet.vmm.registry import lane_named
from hornet_cli.app import app

SEED = 5
# Millions of instructions of A's boots: by phase, a little more each time.
USERLAND, SSHD = 100.0, 300.0


@pytest.fixture
def kernel(tmp_path: Path) -> str:
    path = tmp_path / "vmlinux"
    path.write_bytes(b"\x7fELF" + bytes([2, 1, 1]).ljust(12, b"\0") + b"\2\0\x3e\0" + bytes(600))
    return str(path)


@pytest.fixture
def image(tmp_path: Path) -> str:
    path = tmp_path / "rootfs.ext4"
    path.write_bytes(bytes(4096))
    return str(path)


@pytest.fixture
def costs(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """costs(factor): no VM runs, and B's boots take `factor` times as many instructions as A's."""

    def prepare(factor: float) -> None:
        boots = iter(range(1000))

        def session_of(_: object, subject: Any) -> Callable[[], Sequence[dict[str, float]]]:
            def session() -> Sequence[dict[str, float]]:
                more = factor if subject.boot_args or os.environ.get("HORNET_QEMU") else 1.0
                return [{"userland": USERLAND * more + next(boots) % 3, "sshd": SSHD}]

            return session

        monkeypatch.setattr("hornet_cli.compare.fleet", lambda *_, **__: nullcontext())
        monkeypatch.setattr("hornet.host.facts.require_root", lambda: None)
        monkeypatch.setattr("hornet_cli.compare._sessions", lambda *_: (lane_named("qemu/tcg"), session_of))

    return prepare


def compare(*words: str) -> Result:
    return CliRunner().invoke(app, ["compare", *words, "--seed", str(SEED)])


def test_a_costlier_b_is_worse_and_the_phase_is_named(kernel: str, costs: Callable[[float], None]) -> None:
    costs(1.2)
    result = compare(kernel, "--boot-args-b", "debug", "--json")
    assert result.exit_code == 1, result.output
    rows = {(row["name"], row["percentile"]): row for row in json.loads(result.stdout)["rows"]}
    assert rows["userland", 50]["change"] == rows["total", 50]["change"] == "worse"
    assert rows["sshd", 50]["change"] == "no difference shown"
    assert rows["userland", 50]["unit"] == "M instructions"


def test_another_vmm_runs_only_b(kernel: str, costs: Callable[[float], None]) -> None:
    costs(1.2)
    result = compare(kernel, "--vmm-b", "/bin/true", "--json")
    assert result.exit_code == 1, result.output
    found = json.loads(result.stdout)
    assert found["rows"][0]["ratio"] == pytest.approx(1.05, abs=0.01)
    assert found["vmm_b"] == "/bin/true"
    assert "HORNET_QEMU" not in os.environ


def test_vmm_that_cannot_be_run_is_refused(kernel: str, costs: Callable[[float], None]) -> None:
    costs(1.2)
    assert "no program that can be run" in str(compare(kernel, "--vmm-b", kernel).exception)


def test_the_plan_is_said_beforehand_and_the_table_names_the_detectable_change(
    kernel: str, costs: Callable[[float], None]
) -> None:
    costs(1.0)
    result = compare(kernel, "--boot-args-b", "debug")
    assert result.exit_code == 0, result.output
    assert f"plan: 12 blocks of A and B in qemu/tcg, seed {SEED}: about" in result.stderr
    assert "detectable" in result.output


def test_a_compared_with_itself_is_silent_and_names_its_false_alarms(
    kernel: str, costs: Callable[[float], None]
) -> None:
    costs(1.2)
    result = compare(kernel, "--aa")
    assert result.exit_code == 0, result.output
    assert "false alarms, measured: " in result.output


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["KERNEL"], "expected either --aa, or B, or --boot-args-b"),
        (["KERNEL", "KERNEL", "--aa"], "expected either --aa, or B, or --boot-args-b"),
        (["KERNEL", "--aa", "--vmm-b", "/bin/true"], "expected either --aa, or B, or --boot-args-b, or --vmm-b"),
        (["KERNEL", "IMAGE"], "expected two of the same kind"),
        (["KERNEL", "no-such-snapshot"], "no such snapshot"),
        (["KERNEL", "KERNEL", "--blocks", "3"], "3 blocks: nothing could be found"),
    ],
)
def test_what_cannot_be_compared_is_refused(words: list[str], found: str, kernel: str, image: str) -> None:
    result = compare(*(word.replace("KERNEL", kernel).replace("IMAGE", image) for word in words))
    assert result.exit_code != 0
    assert found in str(result.exception)


def test_blocks_hold_both_sides_in_random_order_that_a_seed_repeats() -> None:
    def order(seed: int) -> list[str]:
        ran: list[str] = []

        def session(side: str) -> Callable[[], list[dict[str, float]]]:
            return lambda: ran.append(side) or [{"load": 1.0}]  # type: ignore[func-returns-value]

        interleave(session("A"), session("B"), blocks=20, seed=seed, note=lambda _: None)
        return ran

    ran = order(SEED)
    pairs = [tuple(ran[at : at + 2]) for at in range(0, len(ran), 2)]
    assert set(pairs) == {("A", "B"), ("B", "A")}
    assert order(SEED) == ran != order(SEED + 1)


def test_parts_are_rows_beside_their_total() -> None:
    sessions = [[{"load": 1.0, "resume": 2.0}], [{"load": 3.0, "resume": 4.0}]]
    assert samples_by_part(sessions) == {"total": [[3.0], [7.0]], "load": [[1.0], [3.0]], "resume": [[2.0], [4.0]]}
    assert samples_by_part([[{"load": 1.0}]]) == {"total": [[1.0]]}
