"""Runs every check on an image's files. A sandbox reads the image and returns nothing but problems as text."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from hornet.checks.baked_secrets import remnant_problems
from hornet.checks.catalog import ImageCheck, image_checks
from hornet.errors import HornetError
from hornet.formats.content import chunks
from hornet.formats.ext4.checker import newest_e2fsck
from hornet.formats.ext4.examine import repair
from hornet.formats.ext4.reader import Ext4Reader
from hornet.formats.ext4.superblock import NotExt4Error, read_superblock
from hornet.formats.ext4.tree import Ext4Tree
from hornet.formats.ext4.verdict import private_copy
from hornet.host.file_copy import data_ranges
from hornet.sandbox import Limits, confined, deserialize_error
from hornet.sandbox.serialized_error import SerializedError
from hornet.spec.model import Spec

FSCK_TIMEOUT_S = 120.0
# Enough for a check that reads every byte of a large image. It also ends a check of endless content.
LIMITS = Limits(time_s=600.0)
REMNANT = "secret.remnant"


class ImageProblems(Mapping[str, list[str]]):
    """Maps each check, such as `removal.python.path`, to its problems. Reading a check that failed raises its error."""

    def __init__(self, image: Path, outcomes: Mapping[str, SerializedError | list[str]]) -> None:
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
    """Run every image check of the spec on an image. exempt: the removals that do not apply to its tier.

    A private copy in `work_directory` is repaired first, as at boot: the disk of a snapshot has a journal to replay.
    Raises Ext4Error if the file is not an ext4 file system or can't be repaired, SandboxError beyond the limits.
    """
    with suppress(NotExt4Error):  # it may have a backup of the superblock
        read_superblock(image)
    with private_copy(image, work_directory) as copy:
        e2fsck = newest_e2fsck()
        rules = {"spec": spec.model_dump(mode="json"), "exempt": sorted(exempt)}
        arguments = {**rules, "command": list(e2fsck.command)}
        limits = LIMITS.writing(os.fstat(copy.fileno()).st_size)
        copies = {"image": copy}
        programs = e2fsck.tree
        outcomes = confined(judge_copy, arguments, what=str(image), limits=limits, copies=copies, programs=programs)
        return ImageProblems(image, outcomes)


def judge_copy(
    image: int, spec: dict[str, Any], exempt: list[str], command: list[str]
) -> dict[str, SerializedError | list[str]]:
    """The sandboxed part of judge_image(). Returns for each check its problems, or the error that stopped it."""
    rules = Spec.model_validate(spec)
    repair(image, command, FSCK_TIMEOUT_S)
    with Ext4Reader(image) as fs:
        tree = Ext4Tree(fs)
        raw = chunks(data_ranges(image), lambda offset, length: os.pread(image, length, offset))
        checks = image_checks(rules, exempt) | {REMNANT: partial(remnant_problems, rules.secrets, raw)}
        return {name: _outcome(check, tree) for name, check in checks.items()}


def _outcome(check: ImageCheck, tree: Ext4Tree) -> SerializedError | list[str]:
    try:
        return check(tree)
    except HornetError as error:
        return SerializedError.of(error)
