"""The server of an agent's step: a repository that Git can clone, and answers in the form of the model's API."""

from __future__ import annotations

import http.server
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hornet.errors import CommandError, SpecError
from hornet.host.proc import run
from hornet.scenarios.agent_step import REPOSITORY, bare_repository, parts_for
from hornet.scenarios.model_api import COUNT_TOKENS, MESSAGES, StandIn
from hornet.spec.model import load_spec

SPEC = load_spec()
STEP = SPEC.agent_step
TIMEOUT_S = 30


@pytest.fixture
def messages() -> list[str]:
    return []


@pytest.fixture
def url(tmp_path: Path, messages: list[str]) -> Iterator[str]:
    handler: Any = partial(StandIn, bare_repository(STEP, tmp_path), STEP.model_reply, messages)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def post(url: str, body: bytes) -> str:
    with urllib.request.urlopen(urllib.request.Request(url, data=body), timeout=TIMEOUT_S) as answer:
        return str(answer.read().decode())


def test_git_clones_the_repository_with_all_its_files(url: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    run(["git", "clone", "-q", url + REPOSITORY, copy], timeout_s=TIMEOUT_S)
    assert {name: (copy / name).read_text() for name in STEP.repository} == STEP.repository


def test_another_repository_is_not_found(url: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="not found"):
        run(["git", "clone", "-q", f"{url}/other.git", tmp_path / "copy"], timeout_s=TIMEOUT_S)


def test_every_guest_clones_the_same_commit(tmp_path: Path) -> None:
    first, second = (bare_repository(STEP, tmp_path) for _ in range(2))
    branch = f"{REPOSITORY}/info/refs"
    assert first[branch] == second[branch]


def test_a_streamed_message_has_the_reply_and_the_end_of_the_turn(url: str, messages: list[str]) -> None:
    body = json.dumps({"model": "m", "stream": True, "messages": []}).encode()
    lines = post(f"{url}{MESSAGES}?beta=true", body).splitlines()
    events = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    assert "".join(event["delta"].get("text", "") for event in events if "delta" in event) == STEP.model_reply
    assert [event["type"] for event in events][-2:] == ["message_delta", "message_stop"]
    assert messages == [MESSAGES]


def test_a_whole_message_has_the_reply(url: str) -> None:
    answer = json.loads(post(url + MESSAGES, b'{"model": "m", "messages": []}'))
    assert (answer["content"][0]["text"], answer["stop_reason"]) == (STEP.model_reply, "end_turn")
    assert json.loads(post(url + COUNT_TOKENS, b"{}"))["input_tokens"] == 1


@pytest.mark.parametrize(("path", "body", "status"), [(MESSAGES, b"[", 400), ("/v1/complete", b"{}", 404)])
def test_what_is_no_message_is_refused(url: str, messages: list[str], path: str, body: bytes, status: int) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        post(url + path, body)
    assert caught.value.code == status
    assert MESSAGES not in messages


def test_a_tier_without_the_cli_does_the_parts_that_it_can() -> None:
    assert {part.name for part in parts_for(SPEC, "standard")} == {part.name for part in STEP.parts}
    assert {part.tool for part in parts_for(SPEC, "micro")} == {"git", "node"}


def test_a_part_with_a_tool_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    overlay = tmp_path / "team.toml"
    overlay.write_text('[[agent_step.parts]]\nname = "x"\ntool = "gitt"\nscript = "true"\n')
    with pytest.raises(SpecError, match="gitt"):
        load_spec(overlays=[overlay])
