"""Checks over a guest's facts: each accepts a good guest, and each way to break one fails exactly its own check."""

from __future__ import annotations

import pytest

from hornet.checks import boot
from hornet.checks.catalog import guest_checks
from hornet.scenarios.probe_sets import guest_probes, tools_probes
from hornet.spec.model import load_spec
from hornet.vm.probes import ProbeResults
from tests.support.guest_samples import KERNEL_LOG, Mutation, good_facts, guest_mutations

SPEC = load_spec()
CHECKS = guest_checks(SPEC)
GOOD = good_facts(SPEC)
MUTATIONS = list(guest_mutations(SPEC))


def failing(facts: ProbeResults) -> dict[str, list[str]]:
    found = {name: check(facts) for name, check in CHECKS.items()}
    return {name: problems for name, problems in found.items() if problems}


def test_a_good_guest_passes_every_check() -> None:
    assert failing(GOOD) == {}


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_broken_guest_fails_exactly_its_check(mutation: Mutation) -> None:
    problems = failing(mutation.applied_to(GOOD))
    assert set(problems) == mutation.fails != frozenset()
    assert all(text for texts in problems.values() for text in texts)


def test_every_check_is_broken_once() -> None:
    assert {name for mutation in MUTATIONS for name in mutation.fails} == set(CHECKS)


def test_probes_cover_the_facts_of_every_check() -> None:
    asked = {probe.name for tier in SPEC.tiers for probe in [*guest_probes(SPEC, tier), *tools_probes(SPEC, tier)]}
    assert asked == set(GOOD) | {"feature.programs", "feature.tidy"}


def test_every_bad_line_is_reported() -> None:
    for bad in SPEC.boot.bad_lines:
        assert boot.line_problems(SPEC.boot.model_copy(update={"bad_lines": [bad]}), bad.example), bad


def test_every_ignored_pattern_is_needed() -> None:
    careless = SPEC.boot.model_copy(update={"ignored": []})
    assert len(boot.line_problems(careless, KERNEL_LOG)) == len(SPEC.boot.ignored)


def test_problems_say_what_was_found_and_what_was_expected() -> None:
    def said(name: str) -> str:
        (mutation,) = (mutation for mutation in MUTATIONS if mutation.name == name)
        return "\n".join(text for texts in failing(mutation.applied_to(GOOD)).values() for text in texts)

    assert "CONFIG_VIRTIO: m, expected y" in said("VIRTIO=m")
    assert "no 'git' in the guest's PATH" in said("no git for git")
    assert "Linux 4.19.1, expected at least 5.10" in said("an old kernel")
    assert "swap is enabled: /dev/vdb" in said("swap")
    assert "60.75 s until ready, expected 0 to 60 s" in said("a stall")
    assert "CONFIG_SECCOMP" in said("does not work: a seccomp filter is enforced")
