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
from hornet.installation import PACKAGES, SOURCE, SPEC_DIRECTORY
from hornet.network import AddressPlan
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
    files = [*SOURCE.joinpath("tests/conformance").rglob("*.py")]
    for package in PACKAGES:
        files += [path for path in (SOURCE / package).rglob("*") if path.is_file() and path.suffix != ".pyc"]
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


# Key, value as written in TOML, and words of the refusal besides key and file.
REFUSED_VALUES = [
    ("network.guest_address", "'10.0.0.1/24'", "both '10.0.0.1'"),
    ("network.guest_address", "'10.0.0.0/24'", "broadcast address of 10.0.0.0/24"),
    ("network.guest_address", "'10.0.0.255/24'", "broadcast address of 10.0.0.0/24"),
    ("network.guest_address", "'10.0.0.2'", "at least two hosts"),
    ("network.guest_address", "'224.0.0.2/24'", "not multicast"),
    ("network.guest_address", "167772162", "as text, found 167772162"),
    ("network.gateway_address", "'127.0.0.1/24'", "loopback"),
    ("network.dns", "['255.255.255.255']", "reserved"),
    ("network.dns", "['1.1.1.1', '1.1.1.2', '1.1.1.3', '1.1.1.4']", "at most 3"),
    ("network.uplink_base", "'224.0.0.0/8'", "not multicast"),
    ("network.uplink_base", "'10.0.0.1/8'", "valid IPv4 network"),
    ("network.hostname", "'a b'", "'a b'"),
    ("network.hostname", "'-hornet'", "'-hornet'"),
    ("network.guest_mac", "'ff:ff:ff:ff:ff:ff'", "multicast or broadcast"),
    ("network.guest_mac", "'01:00:5e:00:00:01'", "multicast or broadcast"),
    ("network.guest_mac", "'00:00:00:00:00:00'", "the all-zero address"),
    ("network.guest_mac", "'02:48:4f:00:00:01'", "gateway_mac and guest_mac are both '02:48:4f:00:00:01'"),
    ("network.host_veth_mac", "'02:48:4f:00:00:04'", "host_veth_mac and namespace_veth_mac are both"),
    ("network.bridge_name", "'tap0'", "bridge_name and tap_name are both 'tap0'"),
    ("network.bridge_name", "'veth-vm7'", "the namespace_veth_name of VM 7"),
    ("network.bridge_name", "'lo'", "'lo'"),
    ("network.bridge_name", "'a\"; drop'", "string_pattern|match pattern"),
    ("network.tap_name", "'tap%d'", "match pattern"),
    ("network.tap_name", "'..'", "match pattern"),
    ("network.guest_interface", "'sixteen-bytes-xx'", "at most 15"),
    ("network.uplink_name", "'veth-vm9-br'", "the host_veth_name of VM 9"),
    ("network.host_veth_name", "'veth-vm{n}'", "namespace_veth_name and host_veth_name are both 'veth-vm{n}'"),
    ("network.host_veth_name", "'veth-vm{n}-bridge'", "longer than the kernel's limit of 15"),
    ("network.namespace_name", "'vm'", "must contain {n}"),
    ("network.namespace_name", "'{x}{n}'", "must contain {n}"),
    ("network.namespace_name", "'../{n}'", "must contain {n}"),
    ("network.namespace_name", "'hornet-1-{n}'", "test runs"),
    ("network.max_vm_id", "4194305", "less than or equal to"),
    ("network.host_tcp_ports", "[65536]", "65536"),
    ("network.host_tcp_ports", "[0]", "found 0"),
    ("network.host_tcp_ports", "[22, 22]", "duplicate port"),
    ("network.interface_group", "2147483648", "2147483648"),
    ("network.egress_url", "'https://a/$(reboot)'", "match pattern"),
    ("tools.node.version_accepted", "'v18.20.0'", "does not match version_accepted"),
    ("tools.node.version_rejected", "'v20.1.1'", "matches version_rejected"),
    ("snapshot.rootfs_file", "'vm.mem'", "rootfs_file and memory_file are both 'vm.mem'"),
    ("snapshot.state_file", "'rootfs.ext4'", "rootfs_file and state_file are both 'rootfs.ext4'"),
    ("snapshot.state_file", "'manifest.json'", "'manifest.json'"),
    ("snapshot.state_file", "'seal.json'", "'seal.json'"),
    ("snapshot.memory_file", "'a/b'", "match pattern"),
    ("snapshot.memory_file", "'..'", "match pattern"),
    ("snapshot.memory_file", "''", "match pattern"),
    ("snapshot.memory_file", "'.mem'", "match pattern"),
    ("snapshot.memory_file", '"a\\u0000b"', "match pattern"),
    ("snapshot.memory_file", '"a\\u001bb"', "match pattern"),
    ("snapshot.production_link", "'../link'", "match pattern"),
    ("snapshot.state_max_mb", "-1", "greater than 0"),
    ("snapshot.thaw_after_s", "0", "greater than or equal to 1"),
    ("machine.memory_mib", "true", "valid integer"),
    ("machine.memory_mib", "'256'", "valid integer"),
    ("machine.memory_mib", "0x1" + "f" * 200, "bits"),
    ("machine.boot_args", '"a\\nb"', "match pattern"),
    ("machine.boot_args", "'" + "x" * 1501 + "'", "at most 1500"),
    ("machine.boot_timeout_s", "nan", "finite number"),
    ("machine.boot_timeout_s", "inf", "finite number"),
    ("machine.boot_timeout_s", "1e308", "less than or equal to 86400"),
    ("machine.ssh_timeout_s", "-5", "greater than 0"),
    ("metrics.kernel_size.target", "nan", "finite number"),
    ("metrics.kernel_size.target", "1e300", "less than or equal to"),
    ("metrics.rootfs_size.title", '"a\\u001b[2Jb"', "printable"),
    ("metrics.rootfs_size.title", '"a\\u202Eb"', "printable"),
    ("capacity.work_mb", "[]", "at least 1"),
    ("perf.kvm.restore", "10001", "less than or equal to 10000"),
    ("metrics.kernel_size.target_tier", "'micro'", "kernel_size: Value error, expected either target or target_tier"),
    ("metrics.rootfs_size.target_tier", "'tiny'", "target_tier: no 'tiny'"),
    ("tiers.micro.kernel_component", "'none'", "'none' is not in components"),
    ("tiers.micro.shell", "'bin/sh'", "absolute path"),
    ("tiers.micro.exempt_from_removals", "['rust']", "no 'rust'"),
    ("tools.git.needs", "['git; reboot']", "match pattern"),
    ("tools.git.use", '"a\\u0000"', "printable"),
    ("tools.git.version_pattern", "'('", "not a regular expression"),
    ("tools.git.version_pattern", "'a{99999999999}'", "not a regular expression"),
    ("tools.git.version_pattern", "'" + "(" * 1900 + ")" * 90 + "'", "not a regular expression"),
    ("tools.git.version_pattern", "'" + "x" * 2001 + "'", "2001 characters"),
    ("secrets.patterns.x", r"'\N{DIGIT ONE}'", "over bytes"),
    ("secrets.path", "'/{vm_id}/{other}'", "match pattern"),
    ("secrets.port", "65536", "less than or equal to 65535"),
    ("health.unhealthy", "'HEALTHY'", "both 'HEALTHY'"),
    ("health.daemons", "[]", "at least 1"),
    ("files.healthcheck.path", "'/opt/../../etc'", "without . and .."),
    ("files.healthcheck.owner", "'0:٣'", "match pattern"),
    ("rootfs.alpine.cleanup", "['/../../home']", "without . and .."),
    ("rootfs.alpine.mirror", "'ftp://x'", "match pattern"),
    ("rootfs.alpine.services", "{'../x' = ['sshd']}", "match pattern"),
    ("rootfs.debian.suite", "'--help'", "match pattern"),
    ("rootfs.toolbox", "['-o', 'x']", "match pattern"),
    ("rootfs.npm.'Claude Code'.package", "'../../x'", "match pattern"),
    ("rootfs.npm.'Claude Code'.entry", "'../../x'", "match pattern"),
    ("rootfs.npm.'Claude Code'.keep", "['/etc/*']", "match pattern"),
    ("rootfs.baseline.npm", "['yarn']", "no 'yarn'"),
    ("rootfs.source_date_epoch", "-1", "greater than or equal to 0"),
    ("rootfs.inodes_spare", "-1", "greater than or equal to 0"),
    ("rootfs.journal_mib", "1", "greater than or equal to 4"),
    ("kernel.min_version", "'5.123456'", "match pattern"),
    ("kernel.sources.guide.sha256", "'x'", "match pattern"),
    ("kernel.kernel_org_mirror", "'file:///a b'", "match pattern"),
    ("slim.removals.logs.paths", "['/var/../*']", "without . and .."),
]


@pytest.mark.parametrize(("key", "value", "words"), REFUSED_VALUES)
def test_a_value_that_would_break_something_later_is_refused(key: str, value: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=words) as caught:
        load_spec(overlays=[overlay(tmp_path, f"{key} = {value}\n")])
    assert key.split(".")[0] in caught.value.message or "bits" in words
    assert key.split(".")[-1] in caught.value.message or "bits" in words
    assert len(caught.value.message.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[tools.'a b']\ntitle = 'x'\n", ["tools.a b", "match pattern"]),
        ('[tools."a\\u0027; x"]\ntitle = "x"\n', ["tools.a'; x", "match pattern"]),
        ("[tiers.tiny]\ntitle = 'Tiny'\n", ["tiers.tiny.max_mb"]),
        ("[secrets.patterns]\n\"\\u001b[2J\" = 'x'\n", ["secrets.patterns", "printable"]),
    ],
)
def test_a_key_that_would_break_something_later_is_refused(text: str, words: list[str], tmp_path: Path) -> None:
    path = overlay(tmp_path, text)
    with pytest.raises(SpecError) as caught:
        load_spec(overlays=[path])
    for word in words:
        assert word in caught.value.message
    assert str(path) in caught.value.message


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
def test_any_values_at_any_keys_load_or_are_refused(changes: list[tuple[tuple[str, ...], Any]]) -> None:
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
