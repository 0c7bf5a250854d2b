"""A scripted step of an agent's work: spec/agent-step.toml."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hornet.spec.types import ImagePath, Line, Positive, Script, Table, Token

# Below the root of the repository.
RepositoryFile = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*([./][A-Za-z0-9_-]+)*$", max_length=100)]


class StepPart(Table):
    """One part of the step. tool: of spec/tools.toml, which the image must have."""

    name: Token
    tool: Token
    script: Script


class AgentStep(Table):
    """The step. timeout_s: of each part. directory: in the guest. Its other keys are explained in its file."""

    timeout_s: Positive
    directory: ImagePath
    model_reply: Line
    repository: Annotated[dict[RepositoryFile, Script], Field(min_length=1)]
    parts: Annotated[list[StepPart], Field(min_length=1)]
