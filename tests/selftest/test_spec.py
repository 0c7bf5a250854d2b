"""The specification: the project's own is valid, overlays merge, and a wrong key or value is named with its file."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hornet.errors import SpecError
from hornet.installation import PACKAGES, SOURCE, SPEC_DIRECTORY, TESTS
from hornet.network import AddressPlan
from hornet.results.collected import IMAGE_SUITES
from hornet.spec import renamed
from hornet.spec.files import SHOWN_PROBLEMS, merge, merge_tables, read_spec
from hornet.spec.model import KERNEL_METRIC, Spec, build_spec, load_spec
from hornet.spec.renamed import REMOVED, RENAMED, _find, renamed_keys
from hornet.spec.types import Table


def overlay(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "team.toml"
    path.write_text(text)
    return path


def test_the_projects_own_spec_is_valid() -> None:
    spec = load_spec()
    assert set(spec.tiers) == {"micro", "standard", "dev"}


def test_a_copied_directory_and_one_file_of_all_tables_load_alike(tmp_path: Path) -> None:
    directory = Path(shutil.copytree(SPEC_DIRECTORY, tmp_path / "spec"))
    whole = tmp_path / "whole.toml"
    whole.write_text("\n".join(file.read_text() for file, tables in read_spec(directory) if tables))
    assert load_spec(directory) == load_spec(whole) == load_spec()


def test_a_table_in_two_files_is_an_error_that_names_both(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[capacity]\nhost_memory_mb = 16000\n")
    (tmp_path / "b.toml").write_text("[capacity]\nhost_reserved_mb = 1000\n")
    with pytest.raises(SpecError, match=rf"capacity: in {tmp_path}/a\.toml and in {tmp_path}/b\.toml"):
        load_spec(tmp_path)


def test_a_directory_without_spec_files_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"a directory without \*\.toml files"):
        load_spec(tmp_path)


def test_a_wrong_value_in_a_directory_is_named_with_its_file(tmp_path: Path) -> None:
    directory = Path(shutil.copytree(SPEC_DIRECTORY, tmp_path / "spec"))
    machine = directory / "machine.toml"
    machine.write_text(machine.read_text().replace("vcpus = 1", "vcpus = 0"))
    with pytest.raises(SpecError, match=rf"^{machine}: machine\.vcpus: .*found 0"):
        load_spec(directory)
    machine.unlink()
    with pytest.raises(SpecError, match=rf"^{directory}: machine: Field required"):
        load_spec(directory)


def tables_of(table: type[Table]) -> Iterator[type[Table]]:
    """Every kind of table in the specification."""
    for below in table.__subclasses__():
        yield below
        yield from tables_of(below)


def names_read() -> set[str]:
    """What code and templates name as an attribute: enough to find most settings that nobody reads."""
    files = [path for suite in IMAGE_SUITES for path in (TESTS / suite).rglob("*.py")]
    for package in PACKAGES:
        files += [path for path in (SOURCE / package).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    texts = b"\n".join(path.read_bytes() for path in files if path != Path(renamed.__file__))
    return {name.decode() for name in re.findall(rb"\.([a-z][a-z0-9_]*)\b", texts)}


def test_every_setting_is_read_somewhere() -> None:
    read = names_read()
    mine = [table for table in tables_of(Table) if table.__module__.startswith("hornet.spec.")]
    assert not {f"{table.__name__}.{field}" for table in mine for field in table.model_fields if field not in read}
    assert not {"shutdown_timeout_s", "use_case"} & read, "settings that were removed because nothing read them"


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
    assert str(path) in caught.value.message or str(SPEC_DIRECTORY) in caught.value.message


OLD_KEYS = [
    ("kernel.promises.nat.use", "kernel.promises: renamed: use kernel.feature_tests"),
    ("kernel.max_mb", "kernel.max_mb: renamed: use metrics.kernel_size.target"),
    ("metrics.rootfs_size.target", "metrics.rootfs_size.target: renamed: use tiers.standard.max_mb"),
    ("machine.shutdown_timeout_s", "machine.shutdown_timeout_s: removed"),
    ("metrics.cold_boot.baseline_quote", "metrics.cold_boot.baseline_quote: removed"),
    ("metrics.cold_boot.target_quote", "metrics.cold_boot.target_quote: removed"),
    ("tiers.dev.min_mb", "tiers.dev.min_mb: removed"),
    ("tiers.dev.use_case", "tiers.dev.use_case: removed"),
    ("leftovers.command_paths", "leftovers: renamed: use dangling_dependencies"),
    ("rootfs.baseline.npm.npm.version", "rootfs.baseline.npm.npm: renamed: use rootfs.npm.npm"),
    ("rootfs.debian.keep.Git.tiers", "rootfs.debian.keep: renamed: use rootfs.debian.image_components"),
    ("rootfs.debian.refusing.micro", "rootfs.debian.refusing: renamed: use rootfs.debian.stub_libraries"),
    ("tiers.dev.keeps", "tiers.dev.keeps: renamed: use tiers.dev.exempt_from_removals"),
    ("tools.jq.guide", "tools.jq.guide: renamed: use tools.jq.requirement"),
    ("accepted.test_x", "accepted: removed: name the requirement in a waivers file"),
    ("rootfs.debian.trim_keeps", "rootfs.debian.trim_keeps: removed: no library is trimmed"),
    ("rootfs.debian.trimmed.micro", "rootfs.debian.trimmed: removed: no library is trimmed"),
    ("schema", "schema: removed"),
    ("name", "name: removed"),
]


@pytest.mark.parametrize(("key", "words"), OLD_KEYS)
def test_an_old_key_is_rejected_with_its_new_name(key: str, words: str, tmp_path: Path) -> None:
    path = overlay(tmp_path, f"{key} = 1\n")
    with pytest.raises(SpecError) as caught:
        load_spec(overlays=[path])
    assert f"{path}: {words}" in caught.value.message


def test_each_of_several_old_keys_is_named() -> None:
    found = renamed_keys({"tiers": {"micro": {"keeps": []}, "dev": {"keeps": []}}})
    assert [line.rpartition(" ")[2] for line in found] == [f"tiers.{t}.exempt_from_removals" for t in ("micro", "dev")]


def test_every_old_key_is_tried_and_every_new_one_exists() -> None:
    tried = [words.partition(":")[0] for _, words in OLD_KEYS]
    assert len(tried) == len(RENAMED) + len(REMOVED)
    assert not renamed_keys(BASE)
    for new in RENAMED.values():
        assert list(_find(BASE, new.split("."))), new


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bare.toml"
    path.write_text("[capacity]\n")
    with pytest.raises(SpecError, match=r"bare\.toml: metrics: Field required"):
        load_spec(path)


@pytest.mark.parametrize(
    ("content", "word"), [(None, "no such file"), (b"[machine\n", "not valid TOML"), (b"\xff\xfe", "not UTF-8")]
)
def test_file_that_is_not_toml_is_named(tmp_path: Path, content: bytes | None, word: str) -> None:
    path = tmp_path / "team.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SpecError, match=word) as caught:
        load_spec(overlays=[path])
    assert "team.toml" in caught.value.message


def test_a_new_tier_needs_its_room(tmp_path: Path) -> None:
    base = load_spec().model_dump(mode="json", exclude_none=True)
    base["tiers"]["tiny"] = {**base["tiers"]["micro"], "title": "Tiny"}
    with pytest.raises(SpecError, match=r"rootfs\.free_mb.*'tiny'"):
        build_spec([(Path("base"), base)])
    base["rootfs"]["free_mb"]["tiny"] = 5
    assert build_spec([(Path("base"), base)]).tier("tiny").title == "Tiny"


def test_a_spec_without_the_kernels_metric_is_rejected() -> None:
    metrics = {name: metric for name, metric in BASE["metrics"].items() if name != KERNEL_METRIC}
    with pytest.raises(SpecError, match=f"metrics: no '{KERNEL_METRIC}' in the spec"):
        build_spec([(Path("base"), {**BASE, "metrics": metrics})])
    with pytest.raises(SpecError, match="unknown metric 'kernel'"):
        load_spec().target("kernel")


def test_of_many_wrong_keys_the_first_are_named(tmp_path: Path) -> None:
    path = overlay(tmp_path, "[machine]\n" + "".join(f"wrong{n} = 1\n" for n in range(1000)))
    with pytest.raises(SpecError) as caught:
        load_spec(overlays=[path])
    assert len(caught.value.message.splitlines()) == SHOWN_PROBLEMS + 1
    assert "and 980 more" in caught.value.message


def keys_of(table: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every key of the spec, tables and values."""
    for key, value in table.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from keys_of(value, (*above, key))


BASE = merge(read_spec(SPEC_DIRECTORY))
KEYS = list(keys_of(BASE))
ODD_TEXTS = [
    *(
        "",
        " ",
        "\0",
        "\x1b[2J",
        "\u202e",
        "..",
        "../x",
        "/",
        "/../x",
        "-x",
        "{n}",
        "{n}{n}",
        "{",
        "a b",
        "'",
        '"',
        "$(x)",
    ),
    *("x" * 300, "x" * 5000, "٣", "0", "10.0.0.2/24", "0.0.0.0/0", "255.255.255.255", "lo", "vm{n}", "http://"),
    *("(", "(?P<a>x)(?P<a>y)", "[z-a]", "a{1,99999999999}", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00", "https://a\nb"),
]
SCALARS = st.one_of(
    st.sampled_from(ODD_TEXTS),
    st.text(max_size=20),
    st.integers(-(2**64), 2**64),
    st.floats(),
    st.booleans(),
    st.datetimes(),
    st.ip_addresses(v=4).map(str),
    st.tuples(st.ip_addresses(v=4), st.integers(0, 32)).map(lambda pair: f"{pair[0]}/{pair[1]}"),
)
ODD_VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)


def overlay_of(changes: list[tuple[tuple[str, ...], Any]]) -> dict[str, Any]:
    """The tables of an overlay that sets these keys."""
    made: dict[str, Any] = {}
    for keys, value in changes:
        node = made
        for key in keys[:-1]:
            node = node.setdefault(key, {}) if isinstance(node.get(key, {}), dict) else {}
        node[keys[-1]] = value
    return made


@pytest.mark.timeout(120)
@settings(deadline=None, max_examples=400)
@given(st.lists(st.tuples(st.sampled_from(KEYS), ODD_VALUES), min_size=1, max_size=3))
def test_any_spec_values_load_or_are_rejected(changes: list[tuple[tuple[str, ...], Any]]) -> None:
    try:
        spec = build_spec([(SPEC_DIRECTORY, BASE), (Path("team.toml"), overlay_of(changes))])
    except SpecError:
        return
    # What loads can be used: the plan of the first and of the last VM, every pattern, all of it as JSON and back.
    plan = AddressPlan(spec.network)
    for vm_id in (1, plan.largest_id):
        assert plan.vm_id(plan.for_vm(vm_id).namespace) == vm_id
    assert Spec.model_validate(spec.model_dump(mode="json")) == spec


TABLES = st.recursive(
    st.dictionaries(st.text(max_size=3), st.integers()),
    lambda inner: st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@given(TABLES, TABLES)
def test_merging_keeps_what_the_overlay_does_not_name(base: dict[str, Any], over: dict[str, Any]) -> None:
    merged = merge_tables(base, over)
    assert merged.keys() == base.keys() | over.keys()
    assert merge_tables(merged, over) == merged
    assert all(merged[key] == base[key] for key in base.keys() - over.keys())
