"""The files of a snapshot and the hazards of a restore: spec/snapshots.toml (guide: Snapshot Anatomy)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hornet.spec.types import DAY_S, MAX_ROUNDS, FileName, ImagePath, Positive, Script, Seconds, Table

# The other files in a snapshot's directory (hornet/snapshot/): the manifest, and the seal with the stat of each file.
OWN_FILES = ("manifest.json", "seal.json")


# A guest's signs of life after a restore: a ping is answered, its SSH port accepts, a command runs, the restore agent
# in it has answered on the console.
Sign = Literal["ping", "port", "ssh", "agent"]


class SnapshotFiles(Table):
    """Names of the three files (guide: Snapshot Anatomy), and timeouts of the guest's steps.

    ready_by: a restored guest is ready with the first of these. production_link: the name of the link to the version
    in use. serial_quiet_s: for how long the serial line must be silent before a snapshot. thaw_after_s: after this
    time, a guest that froze its file systems for a snapshot thaws them itself, even without a command. warm_up:
    commands that run before the snapshot of a booted image, so that each clone's page cache has their files.
    """

    rootfs_file: FileName
    memory_file: FileName
    state_file: FileName
    production_link: FileName
    state_max_mb: Positive
    restore_timeout_s: Seconds
    ready_by: Annotated[list[Sign], Field(min_length=1)]
    freeze_timeout_s: Seconds
    serial_quiet_s: Seconds
    refresh_timeout_s: Seconds
    thaw_after_s: Annotated[int, Field(ge=1, le=DAY_S)]
    warm_up: list[Script] = []

    @model_validator(mode="after")
    def _names_differ(self) -> SnapshotFiles:
        files = {key: getattr(self, key) for key in ("rootfs_file", "memory_file", "state_file")}
        for key, name in files.items():
            if name in OWN_FILES:
                raise ValueError(f"{key} {name!r}: this name is reserved for a file of the snapshot")
            same = [other for other, taken in files.items() if taken == name and other != key]
            if same:
                raise ValueError(f"{key} and {same[0]} are both {name!r}: they must differ")
        return self


class Hazards(Table):
    """How the hazards of a restore are judged. seed_files: where systems store a random seed between boots.

    clones: how many. One of them outlives its snapshot, and at least two of the others share their memory.
    """

    clones: Annotated[int, Field(ge=3, le=MAX_ROUNDS)]
    max_clock_error_ms: Positive
    reconnect_timeout_s: Seconds
    seed_files: list[ImagePath]
