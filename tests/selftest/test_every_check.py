"""Every check accepts what is right, and is broken by at least one mutation; a check that has none fails here.

A check is a public function named *_problems in hornet/checks or hornet/network/verify.py.
"""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest

import hornet.checks
from hornet.checks.catalog import guest_checks, hardened_checks, hazard_checks, image_checks, scratch_checks
from hornet.checks.check import REGISTERED, Check, Subject
from hornet.network import verify
from hornet.spec.model import load_spec
from tests.support.call_samples import call_samples
from tests.support.guest_samples import guest_mutations
from tests.support.image_samples import image_mutations
from tests.support.lineage_samples import CANARY, Mutation, good_lineage, lineage_mutations
from tests.support.samples import Sample
from tests.support.scratch_samples import TRIAL, hardened_mutations, scratch_mutations

SPEC = load_spec()
HAZARDS = hazard_checks(SPEC)
Function = Callable[..., list[str]]


def check_functions() -> Iterator[Function]:
    names = [f"hornet.checks.{module.name}" for module in pkgutil.iter_modules(hornet.checks.__path__)]
    for module in [*map(import_module, names), verify]:
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if name.endswith("_problems") and not name.startswith("_") and function.__module__ == module.__name__:
                yield function


def full_name(function: Function) -> str:
    return f"{function.__module__}.{function.__name__}"


ALL = sorted(check_functions(), key=full_name)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[Function, Sample]:
    return {sample.check: sample for sample in call_samples(SPEC, tmp_path_factory.mktemp("samples"))}


def hazard_mutations(directory: Path) -> list[Mutation]:
    """Of a snapshot whose files are in the directory; the first is the one that must pass."""
    clean, dirty = directory / "vm.mem", directory / "dirty.mem"
    clean.write_bytes(bytes(5000))
    dirty.write_bytes(bytes(5000) + CANARY.encode())
    good = good_lineage(SPEC, [clean])
    return [Mutation("good", "", good), *lineage_mutations(good, dirty)]


def broken_names(directory: Path) -> set[str]:
    """The names of checks that mutations of facts break: those mutations are tried in test_checks_*.py and here."""
    of_guests = [*guest_mutations(SPEC), *scratch_mutations(SPEC), *hardened_mutations(SPEC)]
    fails = [mutation.fails for mutation in of_guests] + [mutation.fails for mutation in image_mutations(SPEC)]
    of_hazards = {f"hazard.{mutation.fails}" for mutation in hazard_mutations(directory)[1:]}
    return of_hazards.union(*fails)


def cases_of(check: Check) -> set[str]:
    return {check.name.format(case) for case in check.cases(SPEC)}


def test_every_check_is_registered() -> None:
    registered = {check.function for check in REGISTERED}
    missing = [full_name(it) for it in ALL if it not in registered and it.__module__ != verify.__name__]
    assert not missing, f"without @check: {missing}"
    assert len({check.name for check in REGISTERED}) == len(REGISTERED), "two checks have one name"


def test_every_check_is_broken_by_a_mutation(samples: dict[Function, Sample], tmp_path: Path) -> None:
    broken = broken_names(tmp_path)
    of_facts = [check for check in REGISTERED if check.subject is not Subject.OTHER]
    by_facts = {check.function for check in of_facts if cases_of(check) and cases_of(check) <= broken}
    unbroken = [full_name(it) for it in ALL if it not in by_facts and it not in samples]
    assert not unbroken, f"no mutation in tests/support breaks {unbroken}"


def test_mutations_of_facts_break_checks_that_there_are(tmp_path: Path) -> None:
    known = {
        **guest_checks(SPEC),
        **image_checks(SPEC),
        **scratch_checks(SPEC, TRIAL),
        **hardened_checks(SPEC),
        **HAZARDS,
    }
    assert broken_names(tmp_path) == set(known)


def test_a_check_accepts_what_is_right_and_rejects_what_is_not(samples: dict[Function, Sample]) -> None:
    for sample in samples.values():
        assert sample.good() == [], full_name(sample.check)
        for word, call in sample.broken.items():
            assert any(word in problem for problem in call()), f"{full_name(sample.check)}: {word}: {call()}"


def test_a_lineage_that_is_as_it_must_be_has_no_problem(tmp_path: Path) -> None:
    (good, *_) = hazard_mutations(tmp_path)
    assert {name: found for name, check in HAZARDS.items() if (found := check(good.lineage))} == {}


def test_a_broken_lineage_fails_exactly_its_hazard(tmp_path: Path) -> None:
    for mutation in hazard_mutations(tmp_path)[1:]:
        failing = {name for name, check in HAZARDS.items() if check(mutation.lineage)}
        assert failing == {f"hazard.{mutation.fails}"}, mutation.name
