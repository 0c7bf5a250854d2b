"""Which tests a run had to answer: every test that was collected, before any option left some of them out.

A run directory holds collected.json: the requirements that each test proves, by module and name, as in
{"conformance/test_tools": {"test_tool_works[git]": ["tool-git"]}}. It lists every module of the suites that judge an
image, with no test for one that was not collected at all. A test that is listed and has no result was not run, whatever
the reason: deselected, after the first failure, interrupted, crashed.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from hornet.foreign_file import ForeignFileError, first_problem, read_json
from hornet.host.durable import write_file
from hornet.installation import TESTS

COLLECTED_FILE = "collected.json"
MAX_COLLECTED_BYTES = 4 << 20
# The suites that judge an image, in the order of a run.
IMAGE_SUITES = ("conformance", "procedures", "network", "perf")
# Requirement ids by test name, by module.
Collected = Mapping[str, Mapping[str, list[str]]]
_COLLECTED = TypeAdapter(dict[str, dict[str, list[str]]])


def image_modules() -> list[str]:
    """Every test module of the suites that judge an image, as in `conformance/test_tools`."""
    return [f"{suite}/{path.stem}" for suite in IMAGE_SUITES for path in sorted((TESTS / suite).glob("test_*.py"))]


def note_collected(directory: Path, tests: Mapping[str, list[str]]) -> None:
    """Add tests (requirement ids by test, as in `conformance/test_tools::test_x`) to what a run lists already."""
    path = directory / COLLECTED_FILE
    known = {module: dict[str, list[str]]() for module in image_modules()}
    if path.exists():
        known |= read_collected(path)
    for test, ids in tests.items():
        module, _, name = test.partition("::")
        known.setdefault(module, {})[name] = ids
    write_file(path, json.dumps(known, indent=1) + "\n")


def read_collected(path: Path) -> dict[str, dict[str, list[str]]]:
    """The tests by module. Raises ForeignFileError for a file that is missing, too big or not of this form."""
    try:
        return _COLLECTED.validate_python(read_json(path, MAX_COLLECTED_BYTES), strict=True)
    except ValidationError as error:
        raise ForeignFileError(f"{path.name}: {first_problem(error)}", "run the tests again") from error


def missing_suites(collected: Collected) -> list[str]:
    """One sentence for each suite that judges images and of which a run lists no module: a list that was edited."""
    listed = {module.partition("/")[0] for module in collected}
    suites = dict.fromkeys(module.partition("/")[0] for module in image_modules())
    return [f"{suite}: not run: {COLLECTED_FILE} lists none of its modules" for suite in suites if suite not in listed]


def without_result(collected: Collected, have: Collection[str]) -> dict[str, list[str]]:
    """The requirement ids of each listed test that is not in `have`, by test."""
    return {
        test: ids
        for module, tests in collected.items()
        for name, ids in tests.items()
        if (test := f"{module}::{name}") not in have
    }


def not_run(collected: Collected, have: Collection[str]) -> list[str]:
    """One sentence for each module of a suite that judges images of which a test has no result."""
    missing = without_result(collected, have)
    sentences = []
    for module, tests in collected.items():
        if module.partition("/")[0] not in IMAGE_SUITES:
            continue
        names = [name for name in tests if f"{module}::{name}" in missing]
        if not tests:
            sentences.append(f"{module}: not run: none of its tests was collected")
        elif names:
            shown = ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
            sentences.append(f"{module}: not run: {len(names)} of {len(tests)} tests: {shown}")
    return sentences
