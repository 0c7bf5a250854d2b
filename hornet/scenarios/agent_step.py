"""Runs the scripted step of an agent's work in a guest: a repository, its tests, and a call of the model's API."""

from __future__ import annotations

import http.server
import shlex
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from hornet.errors import GuestError
from hornet.host.owned import work_directory
from hornet.host.proc import run
from hornet.scenarios.model_api import StandIn
from hornet.spec.agent_step import AgentStep, StepPart
from hornet.spec.model import Spec
from hornet.vm.fleet import VM

REPOSITORY = "/sums.git"
GIT_TIMEOUT_S = 30
# The same commit each time, so that each guest does the same.
WHO = {"NAME": "hornet", "EMAIL": "hornet@example.invalid", "DATE": "2026-01-01T00:00:00Z"}
GIT_ENVIRONMENT = {
    **{f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in WHO.items()},
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
}
SHOWN_CHARACTERS = 500


@dataclass
class StepServer:
    """What a guest reaches on its gateway during a step. messages: the paths of requests to the model's API."""

    url: str
    messages: list[str] = field(default_factory=list)


def parts_for(spec: Spec, tier: str) -> list[StepPart]:
    """The parts of the step whose tools an image of this tier has."""
    return [part for part in spec.agent_step.parts if part.tool in spec.tools_of(tier)]


def bare_repository(step: AgentStep, work: Path) -> dict[str, bytes]:
    """The files of a bare repository with one commit, by path, for Git's dumb HTTP protocol. Raises CommandError."""
    with work_directory(work, "agent-step") as directory:
        source, bare = directory / "source", directory / "bare"
        for name, text in step.repository.items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_text(text)
        _git(["init", "-q", "-b", "main", source])
        _git(["-C", source, "add", "."])
        _git(["-C", source, "commit", "-q", "-m", "A sum"])
        _git(["clone", "-q", "--bare", source, bare])
        _git(["-C", bare, "update-server-info"])
        return {
            f"{REPOSITORY}/{path.relative_to(bare)}": path.read_bytes() for path in bare.rglob("*") if path.is_file()
        }


def _git(words: list[str | Path]) -> None:
    run(["git", *words], timeout_s=GIT_TIMEOUT_S, env=GIT_ENVIRONMENT)


@contextmanager
def step_server(vm: VM, spec: Spec, files: dict[str, bytes]) -> Iterator[StepServer]:
    """Serve a repository's files and the model's API on the gateway of a VM."""
    address = str(spec.network.gateway_address.ip)
    messages: list[str] = []
    handler: Any = partial(StandIn, files, spec.agent_step.model_reply, messages)
    # The listening socket belongs to the namespace in which it was created, whichever thread accepts from it.
    server = vm.namespace.run(lambda: http.server.ThreadingHTTPServer((address, 0), handler))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield StepServer(f"http://{address}:{server.server_port}", messages)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def run_part(vm: VM, part: StepPart, spec: Spec, server: StepServer) -> None:
    """Run one part. Raises GuestError if it fails, with what it printed."""
    step = spec.agent_step
    environment = {
        "HORNET_REPOSITORY": f"{server.url}{REPOSITORY}",
        "HORNET_MODEL_REPLY": step.model_reply,
        "ANTHROPIC_BASE_URL": server.url,
    }
    exports = " ".join(f"{name}={shlex.quote(value)}" for name, value in environment.items())
    place = shlex.quote(step.directory)
    result = vm.guest.run(f"set -e; export {exports}; mkdir -p {place}; cd {place}\n{part.script}", step.timeout_s)
    if result.exit_code != 0:
        said = (result.stderr or result.stdout)[-SHOWN_CHARACTERS:]
        raise GuestError(
            f"{vm.name}: part {part.name!r} of the agent's step: exit code {result.exit_code}, printed {said!r}",
            "log in and run it by hand; the step is spec/agent-step.toml",
        )


def run_step(vm: VM, spec: Spec, tier: str, files: dict[str, bytes]) -> StepServer:
    """Run all parts that an image of this tier can; returns what the server saw. Raises GuestError."""
    with step_server(vm, spec, files) as server:
        for part in parts_for(spec, tier):
            run_part(vm, part, spec, server)
    return server
