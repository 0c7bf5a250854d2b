"""Kernel configurations: read back as written, from wherever they lie; each flag's verdict can turn bad."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import string
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from typer.testing import CliRunner

from hornet.formats.kconfig import (
    MAX_SYMBOLS,
    KconfigError,
    check_flags,
    extract_config,
    format_config,
    parse_config,
    read_config,
    version_key,
)
from hornet.spec.kernel import KernelSymbol
from hornet.spec.model import load_spec
from hornet_cli.app import app
from hornet_cli.main import main
from tests.support.kernel_samples import kernel_with, pack_bzimage

KERNEL = load_spec().kernel
ALL_FLAGS = [*KERNEL.required_symbols, *KERNEL.removed_symbols]
GOOD = {**dict.fromkeys(KERNEL.required_symbols, "y"), **dict.fromkeys(KERNEL.removed_symbols, "n")}

names = st.text(string.ascii_uppercase + string.digits + "_", min_size=1, max_size=30)
printable = st.characters(min_codepoint=32, max_codepoint=126)
strings = st.text(printable, max_size=20).map(lambda text: '"' + text.replace("\\", "").replace('"', "") + '"')
values = st.sampled_from(["y", "m", "n", "0", "4096", "-1", "0x1000000"]) | strings


def text_of(values: dict[str, str], version: str = "6.1.192") -> str:
    return f"#\n# Linux/x86_64 {version} Kernel Configuration\n#\n{format_config(values)}"


def bad_flags(config: dict[str, str], version: str | None = "6.1.192", **options: str) -> dict[str, str]:
    verdicts = check_flags(
        config, KERNEL.required_symbols, KERNEL.removed_symbols, version, symbols=KERNEL.symbols, **options
    )
    return {verdict.symbol: verdict.reason for verdict in verdicts if not verdict.ok}


# --- reading ---------------------------------------------------------------------------------------------------------


@given(st.dictionaries(names, values, min_size=1))
@example({"A": '"# CONFIG_B is not set"'})
def test_what_is_written_is_read_back(config: dict[str, str]) -> None:
    assert parse_config(format_config(config)) == config


@given(st.text(max_size=200))
def test_any_text_is_parsed_or_rejected(text: str) -> None:
    try:
        assert parse_config(text)
    except KconfigError:
        pass


@given(st.binary(max_size=600))
def test_any_bytes_are_read_or_rejected(data: bytes) -> None:
    try:
        assert extract_config(io.BytesIO(data))
    except KconfigError:
        pass


def test_version_comes_from_the_title_and_the_last_value_wins() -> None:
    config = parse_config(text_of({"A": "y"}) + "CONFIG_A=m\n")
    assert (config.version, config["A"]) == ("6.1.192", "m")


CARRIERS: dict[str, Callable[[str], bytes]] = {
    ".config": str.encode,
    "config.gz": lambda text: gzip.compress(text.encode()),
    "vmlinux": kernel_with,
    "bzImage, gzip": lambda text: pack_bzimage(kernel_with(text), gzip.compress),
    "bzImage, xz": lambda text: pack_bzimage(kernel_with(text), lzma.compress),
    "bzImage, bzip2": lambda text: pack_bzimage(kernel_with(text), bz2.compress),
}


@pytest.mark.parametrize("carrier", CARRIERS)
def test_every_carrier_gives_the_same_configuration(carrier: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(CARRIERS[carrier](text_of(GOOD)))
    config = read_config(file)
    assert config == GOOD
    assert config.version == "6.1.192"


REFUSED = {
    "empty": (b"", "no CONFIG_ line"),
    "only comments": (b"# Linux\n", "no CONFIG_ line"),
    "too many symbols": (b"".join(b"CONFIG_%d=y\n" % n for n in range(MAX_SYMBOLS + 1)), "more than any kernel has"),
    "a long line": (b"CONFIG_A=" + b"y" * 5000, "line 1: 5009 characters"),
    "prose": (b"CONFIG_A=y\nhello\n", "line 2: 'hello'"),
    "not text": (b"\xff\xfe\xfd" * 10, "binary"),
    "vmlinux without IKCONFIG": (b"\x7fELF" + bytes(100), "without its configuration"),
    "cut gzip": (gzip.compress(text_of(GOOD).encode())[:-20], "truncated"),
    "damaged gzip": (b"\x1f\x8b\x08" + bytes(40), "damaged compressed data"),
    "cut vmlinux": (kernel_with(text_of(GOOD))[:200], "truncated"),
    "bzImage packed by zstd": (pack_bzimage(b"\x28\xb5\x2f\xfd", bytes), "unknown method"),
    "gzip bomb": (gzip.compress(bytes(20 << 20)), "more than"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_file_without_a_kernel_configuration_is_rejected(name: str, tmp_path: Path) -> None:
    data, words = REFUSED[name]
    file = tmp_path / "file"
    file.write_bytes(data)
    with pytest.raises(KconfigError, match=words) as caught:
        read_config(file)
    assert str(file) in caught.value.message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(KconfigError, match="gone: no such file"):
        read_config(tmp_path / "gone")


# --- judging ---------------------------------------------------------------------------------------------------------


def test_a_good_configuration_holds() -> None:
    assert bad_flags(GOOD) == {}


@pytest.mark.parametrize("symbol", KERNEL.required_symbols)
@pytest.mark.parametrize("value", ["m", "n", "absent", '"text"'])
def test_each_required_flag_is_missed(symbol: str, value: str) -> None:
    broken = {name: found for name, found in GOOD.items() if name != symbol}
    if value != "absent":
        broken[symbol] = value
    assert set(bad_flags(broken)) == {symbol}


@pytest.mark.parametrize("symbol", KERNEL.removed_symbols)
@pytest.mark.parametrize("value", ["y", "m"])
def test_each_removed_flag_is_found(symbol: str, value: str) -> None:
    assert set(bad_flags({**GOOD, symbol: value})) == {symbol}


@pytest.mark.parametrize("symbol", KERNEL.removed_symbols)
def test_a_removed_flag_may_be_absent(symbol: str) -> None:
    assert bad_flags({name: value for name, value in GOOD.items() if name != symbol}) == {}


def without_trust(**more: str) -> dict[str, str]:
    return {name: value for name, value in GOOD.items() if not name.startswith("RANDOM_TRUST")} | more


def test_flag_absent_from_a_version_is_judged_by_boot_argument() -> None:
    assert bad_flags(without_trust(), "6.2") == {}
    assert bad_flags(without_trust(), "6.12.3", boot_args="random.trust_cpu=on") == {}
    off = bad_flags(without_trust(), "6.12.3", boot_args="quiet random.trust_cpu=on random.trust_cpu=off")
    assert set(off) == {"RANDOM_TRUST_CPU"}
    assert "random.trust_cpu decides, and it is off" in off["RANDOM_TRUST_CPU"]
    built_in = bad_flags(without_trust(CMDLINE='"random.trust_bootloader=0"'), "6.6")
    assert set(built_in) == {"RANDOM_TRUST_BOOTLOADER"}


def test_a_version_that_still_has_the_symbol_needs_it() -> None:
    missing = {"RANDOM_TRUST_CPU", "RANDOM_TRUST_BOOTLOADER"}
    assert set(bad_flags(without_trust(), "6.1.192")) == missing
    assert set(bad_flags(without_trust(), None)) == missing, "an unknown version is no excuse"
    assert set(bad_flags(without_trust(RANDOM_TRUST_CPU="n"), "6.12")) == {"RANDOM_TRUST_CPU"}, "there, and off"


def test_a_symbol_from_the_future_is_not_judged() -> None:
    symbols = {"VMGENID": KernelSymbol(since="5.18")}
    [verdict] = check_flags({"A": "y"}, ["VMGENID"], [], "5.10.225", symbols=symbols)
    assert verdict.ok
    assert "added in Linux 5.18" in verdict.reason
    [verdict] = check_flags({"A": "y"}, ["VMGENID"], [], "5.18", symbols=symbols)
    assert not verdict.ok


def test_reasons_name_what_is_in_the_way() -> None:
    needs = bad_flags({**GOOD, "NF_CONNTRACK": "m", "IP_NF_NAT": "m"})
    assert needs["NF_CONNTRACK"].startswith("a module")
    absent = bad_flags({k: v for k, v in {**GOOD, "NF_CONNTRACK": "m"}.items() if k != "IP_NF_NAT"})
    assert "NF_CONNTRACK is m" in absent["IP_NF_NAT"]
    without_nat = {k: v for k, v in GOOD.items() if k not in ("IP_NF_NAT", "NETFILTER_XTABLES_LEGACY")}
    assert "NETFILTER_XTABLES_LEGACY is absent" in bad_flags(without_nat, "6.17")["IP_NF_NAT"]
    for older in ("6.16", "6.1", None):
        assert "LEGACY" not in bad_flags(without_nat, older)["IP_NF_NAT"], "older kernels have no such symbol"
    assert "EXPERT=y, which is absent" in bad_flags({**GOOD, "INPUT": "y"})["INPUT"]
    assert "EXPERT=y selects it" in bad_flags({**GOOD, "DEBUG_KERNEL": "y", "EXPERT": "y"})["DEBUG_KERNEL"]


def test_misspelt_flag_is_reported() -> None:
    [verdict] = check_flags(GOOD, ["VIRTO_BLK"], [], "6.1")
    assert not verdict.ok
    assert "did you mean VIRTIO_BLK" in verdict.reason


@given(st.lists(st.integers(0, 999), min_size=2, max_size=4), st.lists(st.integers(0, 999), min_size=2, max_size=4))
def test_versions_compare_as_numbers(one: list[int], other: list[int]) -> None:
    keys = [version_key(".".join(map(str, parts)) + "-rc1") for parts in (one, other)]
    assert (keys[0] < keys[1]) == (one < other)


# --- the command -----------------------------------------------------------------------------------------------------


def run_cli(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["kconfig", *words])
    return result.exit_code, result.output


def test_the_command_exits_0_if_all_holds_and_lists_each_symbol(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text(text_of(GOOD))
    code, output = run_cli(str(file))
    assert code == 0
    assert all(f"CONFIG_{symbol} " in output for symbol in ALL_FLAGS)
    assert f"{len(ALL_FLAGS)} of {len(ALL_FLAGS)} flags hold" in output


def test_the_command_exits_1_and_says_which_in_json(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text(text_of({**GOOD, "TUN": "m"}))
    code, output = run_cli(str(file), "--json")
    report = json.loads(output)
    assert code == 1
    assert report["ok"] is False
    assert [flag for flag in report["flags"] if not flag["ok"]] == [
        {
            "symbol": "TUN",
            "expected": "y",
            "found": "m",
            "ok": False,
            "reason": "a module: it must be built in, because guests load no modules",
        }
    ]


def test_command_judges_by_the_given_kernel_version(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text(format_config(without_trust()))
    assert run_cli(str(file))[0] == 1
    assert run_cli(str(file), "--kernel-version", "6.6")[0] == 0


@pytest.mark.parametrize("words", [["gone"], ["gone", "--kernel-version", "six"]])
def test_the_command_exits_2_if_it_cannot_judge(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["hornetos", "kconfig", *words])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert "Traceback" not in capsys.readouterr().err
