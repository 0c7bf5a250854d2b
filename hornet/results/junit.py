"""Test results from JUnit XML as pytest writes it."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hornet.foreign_file import MAX_SHOWN_CHARACTERS, ForeignFileError, read_text

# A complete run of the suite writes some 300 KiB.
MAX_JUNIT_BYTES = 16 << 20
# A year.
MAX_TIME_S = 366 * 86_400

# error: the test could not judge, so there is no verdict.
Outcome = Literal["passed", "failed", "error", "skipped"]

# The reason of a skipped test that could not judge on this host or lane begins with this.
NOT_JUDGED = "not judged"
# The reason of a failed test that the spec accepts by name begins with this.
ACCEPTED = "accepted"
# Properties of a test case that the suite's plugin writes: one per requirement of the guide; the lane used.
GUIDE_PROPERTY = "guide"
LANE_PROPERTY = "lane"
# Where a test lies, since pytest shortens the class name of one outside its root directory.
MODULE_PROPERTY = "module"
# The target metric whose verdict a test shows.
METRIC_PROPERTY = "metric"


# pytest begins the message of each error with this.
_ERROR = re.compile(r'(?:failed on (?:setup|teardown) with )?"?(.*?)"?', re.DOTALL)


@dataclass(frozen=True)
class Case:
    """The result of one test. module: as in `conformance/test_tools`. message: the reason, on one line.

    guide: ids of the requirements that it proves (spec/requirements.toml). lane: the one it used, None without a VM.
    """

    module: str
    name: str
    outcome: Outcome
    message: str
    detail: str
    time_s: float
    guide: tuple[str, ...] = ()
    lane: str | None = None
    metric: str | None = None

    @property
    def test(self) -> str:
        """The test without its parameters, as in `conformance/test_tools::test_tool_is_present`."""
        return f"{self.module}::{self.name.split('[')[0]}"

    @property
    def suite(self) -> str:
        """The directory below tests/: conformance, network, perf or selftest; empty for tests from elsewhere."""
        return self.module.split("/")[0] if "/" in self.module else ""

    @property
    def not_judged(self) -> bool:
        """Whether the test was skipped because this host or lane cannot judge it."""
        return self.outcome == "skipped" and self.message.startswith(NOT_JUDGED)

    @property
    def accepted(self) -> bool:
        """Whether the test failed and the spec accepts it by name."""
        return self.outcome == "skipped" and self.message.startswith(f"{ACCEPTED}: ")


def read_junit(path: Path) -> list[Case]:
    """The test cases of a file. Raises ForeignFileError if it is not complete JUnit XML, or too big."""
    text = read_text(path, MAX_JUNIT_BYTES)
    try:
        return parse_junit(text)
    except ForeignFileError as error:
        raise ForeignFileError(f"{path.name}: {error.message}", error.hint) from error


def parse_junit(text: str) -> list[Case]:
    """The test cases in JUnit XML. Raises ForeignFileError if it is not complete, or has a document type."""
    try:
        root = ET.fromstring(text, ET.XMLParser(target=_Builder()))
        if root.tag not in ("testsuites", "testsuite"):
            raise ValueError(f"expected JUnit XML, found <{root.tag[:MAX_SHOWN_CHARACTERS]}>")
        return [_case(element) for element in root.iter("testcase")]
    except ET.ParseError as error:
        raise ForeignFileError(f"not complete XML: {error}", "run the tests again") from error
    except ValueError as error:
        raise ForeignFileError(str(error), "run the tests again") from error


class _Builder(ET.TreeBuilder):
    """Refuses a document type, without which there are no entities: those can expand a kilobyte to gigabytes."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError("it has a document type, which JUnit XML never has")


def module_name(parts: Sequence[str]) -> str:
    """The name of a test module that lies at `parts`, as in `conformance/test_tools`, wherever the suite lies."""
    tops = [place for place, part in enumerate(parts) if part in ("tests", "hornet_tests")]
    return "/".join(parts[tops[-1] + 1 :] if tops else parts)


def _seconds(text: str) -> float:
    """The duration of a test. Raises ValueError for an impossible one."""
    time_s = float(text)
    if not 0 <= time_s <= MAX_TIME_S:
        raise ValueError(f"a test's time is {text[:MAX_SHOWN_CHARACTERS]!r}, expected seconds")
    return time_s


def _case(element: ET.Element) -> Case:
    outcome: Outcome = "passed"
    message = detail = ""
    for child in element:
        if child.tag == "failure":
            outcome, message, detail = "failed", child.get("message", ""), child.text or ""
            break
        if child.tag == "error":
            found = _ERROR.fullmatch(child.get("message", ""))
            outcome, message, detail = "error", found[1] if found else "", child.text or ""
        if child.tag == "skipped":
            outcome, message = "skipped", child.get("message", "") or child.get("type", "")
    properties = [(item.get("name"), item.get("value", "")) for item in element.iter("property")]
    lanes = [value for name, value in properties if name == LANE_PROPERTY]
    metrics = [value for name, value in properties if name == METRIC_PROPERTY]
    modules = [value for name, value in properties if name == MODULE_PROPERTY]
    return Case(
        module=modules[0] if modules else module_name(element.get("classname", "").split(".")),
        name=element.get("name", "?"),
        outcome=outcome,
        message=" ".join(message.split()),
        detail=detail.strip(),
        time_s=_seconds(element.get("time", "0")),
        guide=tuple(value for name, value in properties if name == GUIDE_PROPERTY),
        lane=lanes[0] if lanes else None,
        metric=metrics[0] if metrics else None,
    )
