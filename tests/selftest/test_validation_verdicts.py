"""`hornetos validate`: each step holds, does not hold, or could not be judged. A time limit of ours decides nothing."""

from __future__ import annotations

import socket
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import Mock

import pytest
from typer.testing import CliRunner

from hornet.errors import GuestError, HornetError, VMError
from hornet.procedures import validate
from hornet.procedures.validate import KERNEL, NETWORK, RESTORE, SYMPTOMS, TOOLS, Step, judge_facts
from hornet.spec.model import Spec
from hornet.vm.probes import ProbeResult, ProbeResults
from hornet.vm.restore_agent import AgentCommand
from hornet.vmm.api_log import ApiLog
from hornet.vmm.console import Console
from hornet.vmm.failure import FailureSignal
from hornet.vmm.qemu.qmp import Qmp
from hornet_cli.app import app
from tests.support import bundle_samples
from tests.support.guest_samples import good_facts
from tests.support.ssh_samples import Network, guest_of, ssh_server

STEPS = (TOOLS, NETWORK, KERNEL, SYMPTOMS)
# Probes, the step that they are of, and an answer to another probe of that step that does not hold.
PROBES = [
    ("tool.git.use", TOOLS, ProbeResult("tool.node.version", 0, "v18.20.0")),
    ("tool.git.where", TOOLS, ProbeResult("tool.git.use", 1, "")),
    ("tool.claude.version", TOOLS, ProbeResult("tool.claude.where", 0, "missing claude")),
    ("net.gateway", NETWORK, ProbeResult("net.hostname", 0, "other")),
    ("net.egress", NETWORK, ProbeResult("net.gateway", 1, "")),
    (
        "disk.walk",
        SYMPTOMS,
        ProbeResult("disk.log", 0, "EXT4-fs error (device vda): ext4_lookup: deleted inode referenced: 12"),
    ),
    ("disk.log", SYMPTOMS, ProbeResult("disk.walk", 1, "")),
]
LIMIT_S = 0.3


def timed_out(name: str) -> ProbeResult:
    return ProbeResult(name, 124, "begun", limit_s=115)


def verdicts(facts: ProbeResults, spec: Spec) -> dict[str, Step]:
    return {step.name: step for step in judge_facts(facts, spec, "standard", egress=True)}


@pytest.fixture
def facts(spec: Spec) -> ProbeResults:
    return good_facts(spec).with_answer(ProbeResult("net.egress", 0, "200"))


def test_a_guest_as_it_should_be_passes(facts: ProbeResults, spec: Spec) -> None:
    assert {step.verdict for step in verdicts(facts, spec).values()} == {"PASS"}


@pytest.mark.parametrize(("probe", "step"), [("kernel.config", KERNEL), *(case[:2] for case in PROBES)])
def test_a_probe_that_timed_out_is_not_judged(probe: str, step: str, facts: ProbeResults, spec: Spec) -> None:
    found = verdicts(facts.with_answer(timed_out(probe)), spec)
    assert {name: found[name].verdict for name in STEPS} == {**dict.fromkeys(STEPS, "PASS"), step: "NOT JUDGED"}
    assert "timed out after 115 s" in "".join(found[step].lines)


@pytest.mark.parametrize(("probe", "step", "broken"), PROBES, ids=[probe for probe, *_ in PROBES])
def test_problem_is_a_failure_even_after_a_timeout(
    probe: str, step: str, broken: ProbeResult, facts: ProbeResults, spec: Spec
) -> None:
    found = verdicts(facts.with_answer(timed_out(probe)).with_answer(broken), spec)
    assert {name: found[name].verdict for name in STEPS} == {**dict.fromkeys(STEPS, "PASS"), step: "FAIL"}
    assert any("timed out after 115 s" in line for line in found[step].lines)
    assert len(found[step].lines) >= 2


@pytest.mark.parametrize(
    ("answers", "word", "exit_code"),
    [
        ([], "passed", 0),
        ([ProbeResult("tool.git.use", 1, "no")], "failed", 1),
        ([timed_out("tool.git.use")], "not judged", 2),
        ([timed_out("tool.git.use"), ProbeResult("net.hostname", 0, "other")], "failed", 1),
    ],
)
def test_the_command_says_which_of_three(
    answers: list[ProbeResult],
    word: str,
    exit_code: int,
    facts: ProbeResults,
    spec: Spec,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for answer in answers:
        facts = facts.with_answer(answer)
    bundle = bundle_samples.make_bundle(tmp_path / "v1.0", seed=1)
    monkeypatch.setenv("HORNET_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("hornet_cli.validate.fleet", lambda *_, **__: nullcontext())
    monkeypatch.setattr(validate, "guest_steps", lambda *_, **__: judge_facts(facts, spec, "standard", egress=True))
    monkeypatch.setattr(validate, "_disk_problems", lambda *_: [])
    monkeypatch.setattr(validate, "STEPS", (*validate.FILE_STEPS, *STEPS))
    result = CliRunner().invoke(app, ["validate", str(bundle.directory)])
    assert f"validation: {word}\n" in result.output
    assert result.exit_code == exit_code


def verdict_of(error: HornetError) -> str:
    return validate._not_passed(RESTORE, error).verdict


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (b"", "NOT JUDGED"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "NOT JUDGED"),
        (None, "FAIL"),
        (b"HTTP/1.1 400 Bad Request\r\n" * 200, "FAIL"),
    ],
    ids=["silent", "no key exchange", "ends the connection", "no SSH"],
)
def test_a_slow_ssh_server_is_not_judged(answer: bytes | None, verdict: str) -> None:
    with ssh_server(answer) as network, pytest.raises(GuestError) as caught:
        guest_of(network).run("true", LIMIT_S)
    assert verdict_of(caught.value) == verdict, caught.value


def test_a_guest_that_refuses_connections_fails() -> None:
    with ssh_server(None) as network:
        closed = network
    with pytest.raises(GuestError, match="timed out") as caught:
        guest_of(closed).await_port(LIMIT_S)
    assert verdict_of(caught.value) == "FAIL"


def test_a_port_that_says_nothing_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    def silence(*_: object) -> socket.socket:
        raise TimeoutError("timed out")

    monkeypatch.setattr(Network, "connect", silence)
    with pytest.raises(GuestError, match="timed out") as caught:
        guest_of(Network(("127.0.0.1", 1))).await_port(LIMIT_S)
    assert verdict_of(caught.value) == "NOT JUDGED"


def test_no_reply_to_a_ping_is_not_judged() -> None:
    with pytest.raises(GuestError, match="ping") as caught:
        guest_of(Network(("127.0.0.1", 1))).await_reply(LIMIT_S)
    assert verdict_of(caught.value) == "NOT JUDGED"


def test_a_silent_restore_agent_is_not_judged(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        console = Console(tmp_path / "console.log", ours, FailureSignal("vm1"))
        with pytest.raises(VMError, match="timed out") as caught:
            AgentCommand(console, "refresh", "never").wait(LIMIT_S)
        console.close()
    assert verdict_of(caught.value) == "NOT JUDGED"


def test_a_vmm_that_does_not_answer_is_not_judged(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        qmp = Qmp(ours, FailureSignal("vm1"), ApiLog(tmp_path), lambda _: None)
        with pytest.raises(VMError, match="no answer to QMP connect") as caught:
            qmp.connect(LIMIT_S)
    assert verdict_of(caught.value) == "NOT JUDGED"


def test_work_that_takes_too_long_is_not_judged() -> None:
    def run(*_: object) -> None:
        raise GuestError("timed out after 60 s", timed_out=True)

    vm = Mock(**{"guest.run": run})
    step = validate._judged(validate.DISK_AFTER, lambda: validate._work_and_judge(vm, Mock()))
    assert step.verdict == "NOT JUDGED"
