"""A team's own checks as data: rules about files, each broken once; an overlay's tools, files and flags get cases."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hornet.checks.files import file_problems
from hornet.errors import SpecError
from hornet.formats.image_tree import ImageTree
from hornet.formats.kconfig import check_flags, parse_config
from hornet.installation import SOURCE
from hornet.spec.model import load_spec
from hornet.spec.rules import FileRule
from tests.support.directory_tree import DirectoryTree

EXAMPLE = SOURCE / "docs" / "team-repository" / "overlay.toml"


@pytest.fixture
def tree(tmp_path: Path) -> ImageTree:
    for name, text, mode in (("agent.json", '{\n  "port": 8080\n}\n', 0o600), ("extra.json", "{}", 0o644)):
        path = tmp_path / "etc" / "agent" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
    (tmp_path / "etc" / "link").symlink_to("/etc/agent/agent.json")
    (tmp_path / "etc" / "dangling").symlink_to("/gone")
    return DirectoryTree(tmp_path)


def rule(path: str, **values: Any) -> FileRule:
    return FileRule(title="Agent", reason="it must run", path=path, **values)


def own(tree: ImageTree) -> str:
    entry = tree.entries["/etc"]
    return f"{entry.uid}:{entry.gid}"


def test_correct_files_pass(tree: ImageTree) -> None:
    for good in (
        rule("/etc/agent/agent.json", mode="0600", owner=own(tree), contains='^  "port": \\d+$'),
        rule("/etc/link", mode="0600", contains="port"),
        rule("/etc/agent/*.json"),
        rule("/etc/agent/*.toml", present=False),
    ):
        assert file_problems(good, tree) == []


@pytest.mark.parametrize(
    ("path", "values", "problem"),
    [
        ("/etc/agent/*.toml", {}, "nothing in the image matches /etc/agent/*.toml"),
        ("/etc/agent/extra.json", {"present": False}, "/etc/agent/extra.json is in the image, expected no such file"),
        ("/etc/agent/*.json", {"mode": "0600"}, "/etc/agent/extra.json: mode 0644, expected 0600"),
        ("/etc/agent/agent.json", {"owner": "7:7"}, "expected 7:7"),
        ("/etc/agent/*.json", {"contains": "port"}, "/etc/agent/extra.json: its text does not match 'port'"),
        ("/etc/agent", {"contains": "port"}, "not a regular file"),
        ("/etc/dangling", {}, "dangling link"),
    ],
)
def test_each_thing_that_can_be_wrong_is_named_with_the_reason(
    path: str, values: dict[str, Any], problem: str, tree: ImageTree
) -> None:
    (found,) = file_problems(rule(path, **values), tree)
    assert problem in found
    assert found.startswith("Agent: ")
    assert found.endswith(": it must run")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('path = "etc/x"', "absolute path"),
        ('path = "/x"\nmode = "rw"', "mode"),
        ('path = "/x"\nowner = "root"', "owner"),
        ('path = "/x"\ncontains = "("', "regular expression"),
        ('path = "/x"\npresent = false\nmode = "0644"', "allows no mode"),
        ('path = "/x"\nmust_be = "there"', "must_be"),
    ],
)
def test_invalid_rule_is_rejected_by_name(text: str, named: str, tmp_path: Path) -> None:
    overlay = tmp_path / "team.toml"
    overlay.write_text(f'[files.mine]\ntitle = "t"\nreason = "r"\n{text}\n')
    with pytest.raises(SpecError, match=named) as caught:
        load_spec(overlays=[overlay])
    assert "team.toml: files.mine" in str(caught.value)


def test_the_example_adds_to_what_is_there() -> None:
    base, team = load_spec(), load_spec(overlays=[EXAMPLE])
    assert set(team.tools) == {*base.tools, "sed"}
    assert set(team.files) == {*base.files, "os_release", "no_compiler_cache"}
    assert set(team.kernel.required_symbols) == {*base.kernel.required_symbols, "UNIX", "EPOLL"}
    assert set(team.kernel.removed_symbols) == {*base.kernel.removed_symbols, "BTRFS_FS", "NFS_FS"}


def test_the_teams_flags_are_judged() -> None:
    kernel = load_spec(overlays=[EXAMPLE]).kernel
    config = parse_config("CONFIG_UNIX=m\nCONFIG_BTRFS_FS=y\n")
    verdicts = check_flags(config, kernel.required["team"], kernel.removed["team"], "6.1", symbols=kernel.symbols)
    assert {verdict.symbol: verdict.ok for verdict in verdicts} == {
        "UNIX": False,
        "EPOLL": False,
        "BTRFS_FS": False,
        "NFS_FS": True,
    }


def test_the_overlays_tools_and_files_get_their_cases() -> None:
    words = [sys.executable, "-m", "pytest", "-q", "--collect-only", "tests/conformance", f"--overlay={EXAMPLE}"]
    listed = subprocess.run(words, cwd=SOURCE, capture_output=True, text=True, timeout=120, check=True).stdout
    for case in (
        "test_tools.py::test_tool_is_present[sed]",
        "test_tools.py::test_tool_does_real_work[sed]",
        "test_files.py::test_file_rule_holds[os_release]",
        "test_files.py::test_file_rule_holds[no_compiler_cache]",
    ):
        assert case in listed
