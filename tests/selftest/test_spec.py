"""The specification: the project's own is valid, overlays merge, and a wrong key or value is named with its file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornet.errors import SpecError
from hornet.spec import SPEC_PATH, _merge, load_spec


def overlay(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "team.toml"
    path.write_text(text)
    return path


def test_the_projects_own_spec_is_valid() -> None:
    spec = load_spec()
    assert set(spec.tiers) == {"micro", "standard", "dev"}


def test_an_overlay_replaces_only_what_it_names(tmp_path: Path) -> None:
    changed = load_spec(overlays=[overlay(tmp_path, "[machine]\nmemory_mib = 384\n")])
    assert changed.machine.memory_mib == 384
    assert changed.machine.vcpus == load_spec().machine.vcpus


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[machine]\nmemory_mb = 256\n", ["machine.memory_mb", "Extra inputs are not permitted"]),
        ("[machine]\nmemory_mib = 'much'\n", ["machine.memory_mib", "valid integer", "'much'"]),
        ("[machine]\nmemory_mib = 1\n", ["machine.memory_mib", "greater than or equal to 32", "found 1"]),
        ("[metrics.rootfs_size]\ndirection = 'sideways'\n", ["metrics.rootfs_size.direction", "'lower' or 'higher'"]),
        ("[tools.git]\nversion_pattern = '('\n", ["tools.git.version_pattern", "not a regular expression"]),
        ("[network]\ngateway_mac = 'AA:BB'\n", ["network.gateway_mac", "six lower-case hex pairs"]),
        ("[network]\nguest_address = '10.9.0.2/24'\n", ["network", "must be in one network"]),
        ("[kernel]\nsource = 'mine'\n", ["kernel", "source must be one of"]),
        ("[kernel.removed]\nmore = ['NET']\n", ["kernel", "required and removed at the same time: NET"]),
    ],
)
def test_a_wrong_key_or_value_is_named_with_its_file(tmp_path: Path, text: str, words: list[str]) -> None:
    path = overlay(tmp_path, text)
    with pytest.raises(SpecError) as caught:
        load_spec(overlays=[path])
    for word in words:
        assert word in caught.value.message
    assert str(path) in caught.value.message or str(SPEC_PATH) in caught.value.message


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bare.toml"
    path.write_text("schema = 1\nname = 'bare'\n")
    with pytest.raises(SpecError, match=r"bare\.toml: metrics: Field required"):
        load_spec(path)


@pytest.mark.parametrize(
    ("content", "word"), [(None, "no such file"), (b"[machine\n", "not valid TOML"), (b"\xff\xfe", "not UTF-8")]
)
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, content: bytes | None, word: str) -> None:
    path = tmp_path / "team.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SpecError, match=word) as caught:
        load_spec(overlays=[path])
    assert "team.toml" in caught.value.message


TABLES = st.recursive(
    st.dictionaries(st.text(max_size=3), st.integers()),
    lambda inner: st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@given(TABLES, TABLES)
def test_merging_keeps_what_the_overlay_does_not_name(base: dict, over: dict) -> None:
    merged = _merge(base, over)
    assert merged.keys() == base.keys() | over.keys()
    assert _merge(merged, over) == merged
    assert all(merged[key] == base[key] for key in base.keys() - over.keys())
