"""Runs every check on an image's files. A sandbox reads the image and returns nothing but problems as text."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from hornet.checks.baked_secrets import remnant_problems
from hornet.checks.catalog import ImageCheck, image_checks
from hornet.errors import HornetError
from hornet.formats.archives.source import ImageSource, Kind
from hornet.formats.image_tree import ImageTree
from hornet.procedures.image_files import open_image, with_image
from hornet.sandbox import deserialize_error
from hornet.sandbox.serialized_error import SerializedError
from hornet.spec.model import Spec

REMNANT = "secret.remnant"


class ImageProblems(Mapping[str, list[str]]):
    """Maps each check, such as `removal.python.path`, to its problems. Reading a check that failed raises its error."""

    def __init__(self, image: ImageSource, outcomes: Mapping[str, SerializedError | list[str]]) -> None:
        self._image, self._outcomes = image, outcomes

    def __getitem__(self, check: str) -> list[str]:
        outcome = self._outcomes[check]
        if isinstance(outcome, SerializedError):
            raise deserialize_error(outcome, str(self._image))
        return outcome

    def __iter__(self) -> Iterator[str]:
        return iter(self._outcomes)

    def __len__(self) -> int:
        return len(self._outcomes)


def judge_image(image: Path, spec: Spec, exempt: Collection[str], work_directory: Path) -> ImageProblems:
    """judge_source() for an ext4 file: a private copy is repaired first, as a snapshot's disk has a journal to replay.

    Raises Ext4Error if the file is not an ext4 file system or can't be repaired, SandboxError beyond the limits.
    """
    return judge_source(ImageSource(Kind.EXT4, image), spec, exempt, work_directory)


def judge_source(source: ImageSource, spec: Spec, exempt: Collection[str], work_directory: Path) -> ImageProblems:
    """Run every image check of the spec on an image. exempt: the removals that do not apply to its tier.

    Raises ImageError if it can't be read, SandboxError beyond the limits.
    """
    rules = {"spec": spec.model_dump(mode="json"), "exempt": sorted(exempt)}
    return ImageProblems(source, with_image(judge_files, rules, source, work_directory))


def judge_files(
    spec: dict[str, Any], exempt: list[str], opening: dict[str, Any], **descriptors: int
) -> dict[str, SerializedError | list[str]]:
    """The sandboxed part of judge_source(). Returns for each check its problems, or the error that stopped it.

    A directory has no deleted files, so nothing there can be said about them.
    """
    rules = Spec.model_validate(spec)
    with open_image(opening, descriptors) as image:
        checks = dict(image_checks(rules, exempt))
        if image.places:
            checks[REMNANT] = partial(remnant_problems, rules.secrets, image.places)
        return {name: _outcome(check, image.tree) for name, check in checks.items()}


def _outcome(check: ImageCheck, tree: ImageTree) -> SerializedError | list[str]:
    try:
        return check(tree)
    except HornetError as error:
        return SerializedError.of(error)
