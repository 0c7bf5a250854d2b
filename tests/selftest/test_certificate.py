"""`hornetos certify`: a real signature; what was changed, is partial, over-waived, flaky or not signed gets no yes."""

from __future__ import annotations

import json
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner
from typer.testing import Result as Ended

from hornet.errors import CommandError, HornetError
from hornet.foreign_file import ForeignFileError
from hornet.host.workspace import Workspace
from hornet.results.certificate import CERTIFICATE_FILE, SIGNATURE_FILE, open_certificate
from hornet.results.outcomes import OUTCOMES_FILE, Result
from hornet.results.policy import Policy
from hornet.results.run_end import RESULTS
from hornet.results.run_info import RunInfo, begin_session, end_session
from hornet.spec.model import load_spec
from hornet.spec.requirements import load_requirements
from hornet_cli.app import app
from tests.support import synthetic_run as synthetic

REQUIREMENTS = load_requirements()
CASES = synthetic.green_cases(REQUIREMENTS.values())
PROVED = [key for case in CASES for key in case.requirements]
MUSTS = [key for key in PROVED if REQUIREMENTS[key].level == "must"]
NAME = "release@example.org"


def make_key(directory: Path, name: str) -> Path:
    key = directory / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", key], check=True, timeout=30)
    return key


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_key(tmp_path_factory.mktemp("keys"), "release")


@pytest.fixture(scope="module")
def signers(key: Path) -> Path:
    path = key.parent / "allowed_signers"
    path.write_text(f"{NAME} {key.with_suffix('.pub').read_text()}")
    return path


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("HORNET_HOME", str(tmp_path / "home"))
    return Workspace.from_env()


def hornetos(*words: str | Path) -> Ended:
    return CliRunner().invoke(app, list(map(str, words)))


def certified(directory: Path, key: Path, **changes: object) -> Path:
    """The certificate of a green run."""
    run = green(directory / "run", **changes)
    ended = hornetos("certify", run, "--key", key, "--out", directory / "run.zip")
    assert ended.exit_code == 0, (ended.output, ended.exception)
    return directory / "run.zip"


def green(directory: Path, **changes: object) -> Path:
    return synthetic.make_run(directory, **{"cases": CASES, "records": synthetic.met_records(load_spec()), **changes})


def test_a_green_run_is_certified_and_verified(tmp_path: Path, key: Path, signers: Path) -> None:
    archive = certified(tmp_path, key)
    ended = hornetos("certify", archive, "--verify", "--signers", signers)
    assert ended.exit_code == 0, ended.output
    assert ended.output.startswith(f"certificate: signed by {NAME}: run run passed: ")
    assert not list((tmp_path / "home" / "run").iterdir()), "nothing is left"


def test_the_same_run_gives_the_same_archive(tmp_path: Path, key: Path) -> None:
    first = certified(tmp_path, key).read_bytes()
    hornetos("certify", tmp_path / "run", "--key", key, "--out", tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == first


# --- Runs that get none -----------------------------------------------------------------------------------------------


def waivers(count: int) -> str:
    table = '[{}]\nowner = "o"\nreason = "r"\nexpires = 2099-01-01\n'
    return "\n".join(table.format(key) for key in MUSTS[:count])


def failing(count: int) -> list[object]:
    failed = {"result": Result.FAILED, "reason": "no"}
    return [case.model_copy(update=failed if set(case.requirements) & set(MUSTS[:count]) else {}) for case in CASES]


TOO_MANY = Policy().max_waived + 1


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (
            {"cases": [case for case in CASES if "tool-git" not in case.requirements]},
            "refused: partial or failed: tool-git: ",
        ),
        ({"cases": failing(1)}, f"refused: partial or failed: {MUSTS[0]}: "),
        (
            {"cases": failing(TOO_MANY), "waivers__toml": waivers(TOO_MANY)},
            f"refused: partial or failed: over-waived: {TOO_MANY} waived, the policy allows {TOO_MANY - 1}",
        ),
        (
            {"outcomes__jsonl": synthetic.lines([CASES[0].model_copy(update={"result": Result.FAILED}), *CASES])},
            f"refused: flaky: {CASES[0].test} has several results",
        ),
    ],
    ids=["partial", "failed", "over-waived", "flaky"],
)
def test_a_run_that_gets_no_certificate_says_why(
    changes: dict[str, object], named: str, tmp_path: Path, key: Path
) -> None:
    ended = hornetos("certify", green(tmp_path / "run", **changes), "--key", key, "--out", tmp_path / "run.zip")
    assert ended.exit_code == 1
    assert named in ended.output
    assert not (tmp_path / "run.zip").exists()


def test_few_waivers_are_certified_and_shown(tmp_path: Path, key: Path, signers: Path) -> None:
    archive = certified(tmp_path, key, cases=failing(1), waivers__toml=waivers(1))
    ended = hornetos("certify", archive, "--verify", "--signers", signers)
    assert ended.exit_code == 0
    assert f"waived: {MUSTS[0]}: waived by o until 2099-01-01" in ended.output


def test_whoever_verifies_may_demand_more(tmp_path: Path, key: Path, signers: Path) -> None:
    archive = certified(tmp_path, key, cases=failing(1), waivers__toml=waivers(1))
    strict = tmp_path / "policy.toml"
    strict.write_text("max_waived = 0\n")
    ended = hornetos("certify", archive, "--verify", "--signers", signers, "--policy", strict)
    assert (ended.exit_code, "over-waived: 1 waived" in ended.output) == (1, True)


def test_a_rerun_gets_none(tmp_path: Path, key: Path) -> None:
    run = green(tmp_path / "run")
    (run / "run.json").unlink()
    info = RunInfo(tier="standard", rerun_of="20300101-000000")
    begin_session(run, info, ["pytest"], load_spec().model_dump(mode="json"), 0.1)
    end_session(run, 0, {}, RESULTS)
    ended = hornetos("certify", run, "--key", key)
    assert ended.exit_code == 1
    assert "refused: flaky: it repeats the failed tests of run 20300101-000000" in ended.output


# --- Archives that are not what was signed ----------------------------------------------------------------------------


def rewrite(archive: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    with zipfile.ZipFile(archive) as old:
        content = {name: old.read(name) for name in old.namelist()}
    change(content)
    with zipfile.ZipFile(archive, "w") as new:
        for name, data in content.items():
            new.writestr(name, data)


def edit(name: str, old: bytes, new: bytes) -> Callable[[dict[str, bytes]], None]:
    def change(content: dict[str, bytes]) -> None:
        assert old in content[name]
        content[name] = content[name].replace(old, new, 1)

    return change


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (edit(OUTCOMES_FILE, b'"passed"', b'"failed"'), "outcomes.jsonl: changed"),
        (lambda content: content.pop(OUTCOMES_FILE), "outcomes.jsonl: missing"),
        (lambda content: content.update({"more": b""}), "more: added"),
        (lambda content: content.update({"../more": b""}), "a file is called '../more'"),
        (lambda content: content.pop(SIGNATURE_FILE), "it has no certificate.json.sig"),
        (lambda content: content.pop(CERTIFICATE_FILE), "it has no certificate.json"),
        (edit(CERTIFICATE_FILE, b'"suite"', b'"sweet"'), "certificate.json: "),
        (edit(CERTIFICATE_FILE, b'"headline": "passed', b'"headline": "better'), "not signed by anybody in "),
        (edit(SIGNATURE_FILE, b"A", b"B"), "not signed by anybody in "),
    ],
)
def test_an_archive_that_was_changed_is_rejected(
    change: Callable[[dict[str, bytes]], object], named: str, tmp_path: Path, key: Path, signers: Path
) -> None:
    archive = certified(tmp_path, key)
    rewrite(archive, change)  # type: ignore[arg-type]
    (tmp_path / "open").mkdir()
    with pytest.raises(ForeignFileError) as caught:
        open_certificate(archive, signers, tmp_path / "open")
    assert named in str(caught.value)


def test_a_signature_of_somebody_else_does_not_count(tmp_path: Path, signers: Path) -> None:
    archive = certified(tmp_path, make_key(tmp_path, "other"))
    ended = hornetos("certify", archive, "--verify", "--signers", signers)
    assert isinstance(ended.exception, ForeignFileError)
    assert "not signed by anybody in " in str(ended.exception)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"x" * 5000])
def test_what_is_no_archive_is_rejected(content: bytes, tmp_path: Path, signers: Path) -> None:
    (tmp_path / "x.zip").write_bytes(content)
    ended = hornetos("certify", tmp_path / "x.zip", "--verify", "--signers", signers)
    assert isinstance(ended.exception, HornetError)
    assert "not a ZIP archive" in str(ended.exception)


def test_a_key_that_cannot_sign_is_named(tmp_path: Path, signers: Path) -> None:
    ended = hornetos("certify", green(tmp_path / "run"), "--key", signers, "--out", tmp_path / "run.zip")
    assert isinstance(ended.exception, CommandError)
    assert not (tmp_path / "run.zip").exists()


def test_the_answer_is_data_for_other_programs(tmp_path: Path, key: Path, signers: Path) -> None:
    archive = certified(tmp_path, key, cases=failing(1), waivers__toml=waivers(1))
    valid = json.loads(hornetos("certify", archive, "--verify", "--signers", signers, "--json").output)
    assert [line.partition(":")[0] for line in valid["waived"]] == [MUSTS[0]]
    assert "refused" not in valid
    failed = green(tmp_path / "failed", cases=failing(1))
    ended = hornetos("certify", failed, "--key", key, "--json")
    assert (ended.exit_code, len(json.loads(ended.output)["refused"])) == (1, 1)
