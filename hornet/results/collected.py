"""Which tests a run had to answer: every test that was collected, before any option left some of them out.

A run directory holds collected.json: test names by module, as in {"conformance/test_tools": ["test_tool_works[git]"]}.
It lists every module of the suites that judge an image, with no name for one that was not collected at all. A test that
is listed and has no result was not run, whatever the reason: deselected, after the first failure, interrupted, crashed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from hornet.foreign_file import ForeignFileError, first_problem, read_json
from hornet.host.durable import write_file
from hornet.installation import TESTS
from hornet.results.junit import Case

COLLECTED_FILE = "collected.json"
MAX_COLLECTED_BYTES = 4 << 20
# The suites that judge an image, in the order of a run.
IMAGE_SUITES = ("conformance", "procedures", "network", "perf")
Collected = Mapping[str, list[str]]
_COLLECTED = TypeAdapter(dict[str, list[str]])


def image_modules() -> list[str]:
    """Every test module of the suites that judge an image, as in `conformance/test_tools`."""
    return [f"{suite}/{path.stem}" for suite in IMAGE_SUITES for path in sorted((TESTS / suite).glob("test_*.py"))]


def note_collected(directory: Path, tests: Iterable[tuple[str, str]]) -> None:
    """Add tests, as pairs of module and name, to what a run directory lists already."""
    path = directory / COLLECTED_FILE
    known = {module: list[str]() for module in image_modules()}
    if path.exists():
        known |= read_collected(path)
    for module, name in tests:
        names = known.setdefault(module, [])
        if name not in names:
            names.append(name)
    write_file(path, json.dumps(known, indent=1) + "\n")


def read_collected(path: Path) -> dict[str, list[str]]:
    """The tests by module. Raises ForeignFileError for a file that is missing, too big or not of this form."""
    try:
        return _COLLECTED.validate_python(read_json(path, MAX_COLLECTED_BYTES))
    except ValidationError as error:
        raise ForeignFileError(f"{path.name}: {first_problem(error)}", "run the tests again") from error


def missing_suites(collected: Collected) -> list[str]:
    """One sentence for each suite that judges images and of which a run lists no module: a list that was edited."""
    listed = {module.partition("/")[0] for module in collected}
    suites = dict.fromkeys(module.partition("/")[0] for module in image_modules())
    return [f"{suite}: not run: {COLLECTED_FILE} lists none of its modules" for suite in suites if suite not in listed]


def not_run(collected: Collected, cases: Iterable[Case]) -> list[str]:
    """One sentence for each module of a suite that judges images of which a test has no result."""
    have: dict[str, set[str]] = {}
    for case in cases:
        have.setdefault(case.module, set()).add(case.name)
    sentences = []
    for module, names in collected.items():
        missing = [name for name in names if name not in have.get(module, set())]
        if module.partition("/")[0] not in IMAGE_SUITES:
            continue
        if not names:
            sentences.append(f"{module}: not run: none of its tests was collected")
        elif missing:
            shown = ", ".join(missing[:3]) + (" …" if len(missing) > 3 else "")
            sentences.append(f"{module}: not run: {len(missing)} of {len(names)} tests: {shown}")
    return sentences
