"""What the guest prints comes back unchanged; half an answer is no answer."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hornet.errors import GuestError
from hornet.vm.probes import Probe, ProbeResult, ProbeResults, build_script, new_boundary, parse_answers

printable = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=40)


def ask(probes: list[Probe], **environment: str) -> ProbeResults:
    boundary = new_boundary()
    script = build_script(probes, environment, boundary)
    output = subprocess.run(["sh"], input=script, capture_output=True, text=True, timeout=60, check=False).stdout
    return parse_answers(output, boundary)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(printable, st.integers(0, 120)), min_size=1, max_size=5))
def test_every_answer_comes_back_with_its_exit_code(expected: list[tuple[str, int]]) -> None:
    probes = [
        Probe(f"p{i}", f"printf '%s' '{text.replace(chr(39), '')}'; exit {code}")
        for i, (text, code) in enumerate(expected)
    ]
    facts = ask(probes)
    for i, (text, code) in enumerate(expected):
        assert facts[f"p{i}"] == ProbeResult(f"p{i}", code, text.replace("'", ""))


def test_environment_and_both_streams() -> None:
    facts = ask([Probe("p", 'echo "$A"; echo err >&2')], A='it\'s "quoted"')
    assert facts["p"].output.split("\n")[:2] == ['it\'s "quoted"', "err"]


def test_a_probe_that_hangs_is_ended_and_the_next_one_answers() -> None:
    facts = ask([Probe("hangs", "sleep 60", timeout_s=1), Probe("next", "echo here")])
    assert facts.ended_or_not("hangs") == ProbeResult("hangs", 124, "", limit_s=1)
    assert facts["next"].ok


@pytest.mark.parametrize("code", [124, 143])
def test_a_probe_that_its_time_limit_ended_has_no_answer(code: int, tmp_path: Path) -> None:
    """GNU's timeout exits with 124, BusyBox's with 143."""
    timeout = tmp_path / "timeout"
    timeout.write_text(f'#!/bin/sh\nsleep "$1"\nexit {code}\n')
    timeout.chmod(0o755)
    facts = ask([Probe("hangs", "echo begun", timeout_s=1)], PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert facts.ended_or_not("hangs").exit_code == code
    with pytest.raises(GuestError, match="hangs: timed out after 1 s") as caught:
        facts["hangs"]
    assert caught.value.timed_out


@pytest.mark.parametrize("script", ["exit 124", "exit 143", "kill -TERM $$"])
def test_a_probe_that_fails_early_has_an_answer(script: str) -> None:
    answer = ask([Probe("fails", script, timeout_s=5)])["fails"]
    assert answer.exit_code in (124, 143)
    assert not answer.ok


def test_an_answer_that_was_cut_off_is_not_judged() -> None:
    boundary = new_boundary()
    facts = parse_answers(f"{boundary} begin a\nx\n{boundary} end 0\n{boundary} begin b\nhalf", boundary)
    assert list(facts) == ["a"]
    with pytest.raises(GuestError, match="'b'"):
        facts["b"]


def test_an_exit_code_that_no_program_has_is_no_answer() -> None:
    code = "9" * 5000
    assert not parse_answers(f"@@1 begin a\n\n@@1 end {code}\n", "@@1")
    assert parse_answers("@@1 begin a\n\n@@1 end 255\n", "@@1")["a"].exit_code == 255
