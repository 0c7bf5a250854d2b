"""Fuzzing in CI: every parser of foreign data, with mutations of real samples and with inputs that once broke it.

The same targets run for hours by `python -m tests.fuzz TARGET` (docs/security.md).
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tests.fuzz.targets import CORPUS, TARGETS

LARGEST_KEPT_BYTES = 4096
EXAMPLES = 60
SEED = 11
# Numbers at which fields wrap, overflow or turn negative.
EDGES = [
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    (1 << 63) - 1,
    (1 << 64) - 1,
]
ODD_VALUES: list[Any] = [
    *(None, True, -1, 0, 1 << 53, 1 << 70, 0.5, 1e308, -0.0, "", "\0", "\x1b[2J", "\u202e", "../..", "x" * 1000, "1"),
    *([], {}, [[]], [None], {"": {}}, [1e308, 1e308], [{"a": [1]}]),
]

# No time limit for each example, which a busy machine would break: each test has one.
bounded = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
pytestmark = pytest.mark.timeout(120)


@st.composite
def damaged(draw: st.DrawFn, samples: list[bytes]) -> bytes:
    """A sample with a few numbers overwritten, a piece left out or doubled, or its end cut off."""
    data = bytearray(draw(st.sampled_from(samples)))
    for _ in range(draw(st.integers(0, 4))):
        layout = draw(st.sampled_from(["<B", "<H", "<I", "<Q", ">H", ">I"]))
        size = struct.calcsize(layout)
        at = draw(st.integers(0, max(0, len(data) - size)))
        number = draw(st.sampled_from(EDGES) | st.integers(0, (1 << 64) - 1)) % (1 << 8 * size)
        data[at : at + size] = struct.pack(layout, number)
    begin, length = draw(st.integers(0, len(data))), draw(st.integers(0, 64))
    match draw(st.sampled_from(["as it is", "cut", "without a piece", "with a piece twice", "with other bytes"])):
        case "cut":
            del data[begin:]
        case "without a piece":
            del data[begin : begin + length]
        case "with a piece twice":
            data[begin:begin] = data[begin : begin + length]
        case "with other bytes":
            data[begin : begin + length] = draw(st.binary(max_size=64))
    return bytes(data)


@st.composite
def odd_document(draw: st.DrawFn, samples: list[bytes]) -> bytes:
    """A JSON sample with values replaced or keys taken out or added, wherever they are."""
    document = json.loads(draw(st.sampled_from(samples)))
    for _ in range(draw(st.integers(1, 3))):
        node = document
        while isinstance(node, dict | list) and node:
            place = draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
            if not isinstance(node[place], dict | list) or not node[place] or draw(st.booleans()):
                _change(draw, node, place)
                break
            node = node[place]
    return json.dumps(document).encode()


def _change(draw: st.DrawFn, node: Any, place: Any) -> None:
    if draw(st.integers(0, 3)):
        node[place] = draw(st.sampled_from(ODD_VALUES) | st.text(max_size=5) | st.integers() | st.floats())
    else:
        del node[place]


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("name", TARGETS)
def test_a_real_sample_is_parsed(name: str) -> None:
    """The unmutated samples parse completely, so mutations reach more than the parser's first check."""
    first = next(iter(TARGETS[name].samples()))
    TARGETS[name].run(first)


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_samples_are_parsed_or_rejected(name: str) -> None:
    target = TARGETS[name]
    samples = list(target.samples())
    strategies = damaged(samples)
    if documents := [sample for sample in samples if _is_json(sample)]:
        strategies |= odd_document(documents)

    @seed(SEED)
    @bounded
    @given(strategies)
    def survives(data: bytes) -> None:
        target.survives(data)

    survives()


KEPT = sorted(path for path in CORPUS.glob("*/*") if path.is_file())


def test_there_are_past_crashers() -> None:
    assert {path.parent.name for path in KEPT} <= set(TARGETS)
    assert KEPT


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_past_crashers_are_parsed_or_rejected(path: Path) -> None:
    assert path.stat().st_size <= LARGEST_KEPT_BYTES, "make it smaller: only small files are kept"
    TARGETS[path.parent.name].survives(path.read_bytes())


def test_unexpected_parser_exception_is_reported() -> None:
    """survives() passes on any exception that is not a HornetError."""
    broken = type(TARGETS["shebang"])(lambda data: data[100], list)
    with pytest.raises(IndexError):
        broken.survives(b"")
