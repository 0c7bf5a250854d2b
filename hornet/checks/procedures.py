"""The guide's procedures as they were tried on a snapshot (hornet/procedures/trials): facts, and what must be true."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from hornet.checks.check import check


@dataclass(frozen=True)
class VersionFacts:
    """A new version was made: a script wrote into the running VM, then a snapshot was taken and validated.

    exit_code, output: of the script. not_passed: the steps of the validation without PASS, with their reasons; passed:
    the others. parent: the manifest hash that the published version names as its parent, None if nothing was published;
    base: that of the snapshot it was made of.
    """

    exit_code: int
    output: str
    passed: Collection[str]
    not_passed: Mapping[str, str]
    parent: str | None
    base: str


@dataclass(frozen=True)
class RollbackFacts:
    """Production was switched to a new version, then back to the backup.

    word: what the new version's change wrote. versions: those that production should use, in order; production: those
    that it used. seen: for each of them, the words in a VM that was restored from production.
    """

    word: str
    versions: Sequence[str]
    production: Sequence[str]
    seen: Sequence[Collection[str]]


@dataclass(frozen=True)
class SlimFacts:
    """A VM was slimmed, and the result was restored. Before, a file had been planted for each removal.

    planted: the files by removal. left: those of them that the slimmed snapshot still has. saved_mb: by removal.
    tool_problems: of the guide's tools after the removals. published: whether there is a slimmed snapshot.
    """

    planted: Mapping[str, str]
    left: Collection[str]
    saved_mb: Mapping[str, float]
    tool_problems: Sequence[str]
    published: bool


@dataclass(frozen=True)
class TroubleFacts:
    """Trouble was made in a guest, `hornetos diagnose` looked, then the trouble was repaired.

    causes: what each bad step of the diagnosis saw, by step. causes_after: the same after the repair, None without one.
    """

    causes: Mapping[str, str]
    causes_after: Mapping[str, str] | None = None


@dataclass(frozen=True)
class CleanUpFacts:
    """A process that ran a VM was killed. had: what it had, by kind; left: what the next start did not remove."""

    had: Mapping[str, Sequence[str]]
    left: Mapping[str, Sequence[str]]


@check("new_version.published", proves=["sop-new-version"])
def version_problems(facts: VersionFacts) -> list[str]:
    """A change that failed, a validation that did not pass, or a version that was made of something else."""
    if facts.exit_code:
        return [f"the change failed in the VM with exit code {facts.exit_code}: {facts.output.strip()[-300:]}"]
    if facts.not_passed:
        return [f"not published: {name}: {why}" for name, why in facts.not_passed.items()]
    if facts.parent is None:
        return ["not published, although the validation passed"]
    if facts.parent != facts.base:
        return [f"its parent is {facts.parent[:12]}…, expected {facts.base[:12]}…: the snapshot that was changed"]
    return []


@check("new_version.step")
def step_problems(steps: Sequence[str], facts: VersionFacts) -> list[str]:
    """Steps of the validation that the new version did not pass."""
    return [f"{step}: {facts.not_passed.get(step, 'not run')}" for step in steps if step not in facts.passed]


@check("new_version.change", proves=["change-inside-vm"])
def change_problems(facts: RollbackFacts) -> list[str]:
    """A change that the new version does not have, on its disk or in its memory."""
    (seen, *_) = facts.seen
    if set(seen) == {facts.word}:
        return []
    return [f"the change wrote {facts.word!r}, a VM of the new version has {', '.join(sorted(seen)) or 'nothing'}"]


@check("rollback.production", proves=["sop-rollback"])
def rollback_problems(facts: RollbackFacts) -> list[str]:
    """A switch after which production uses another version than asked for, or a backup that has the change."""
    problems = [
        f"production uses {used}, expected {asked}"
        for asked, used in zip(facts.versions, facts.production, strict=True)
        if asked != used
    ]
    if facts.seen[-1]:
        problems.append(f"a VM of the backup has the change: {', '.join(sorted(facts.seen[-1]))}")
    return problems


@check("backup.files", proves=["phase1-backup", "files-three"])
def backup_problems(backup: Mapping[str, str], snapshot: Mapping[str, str]) -> list[str]:
    """Files of a backup that differ from those of the snapshot. Both: SHA-256 by name."""
    names = [*snapshot, *(name for name in backup if name not in snapshot)]
    return [f"{name}: differs in the backup" for name in names if backup.get(name) != snapshot.get(name)]


@check("mixture.refused", proves=["files-atomic"])
def mixture_problems(refused: Mapping[str, str]) -> list[str]:
    """Mixtures of two snapshots that were restored. refused: the reason by the file of the other one; "" without."""
    return [f"restored with the {name} of another snapshot" for name, reason in refused.items() if not reason]


@check("wrong_approach.corrupts", proves=["wrong-approach-corrupts"])
def wrong_approach_problems(findings: Sequence[str]) -> list[str]:
    """No damage was found on the disk of a VM whose snapshot was restored on another disk."""
    if findings:
        return []
    return ["the snapshot was restored on a changed disk and wrote to it, but the disk has no damage"]


@check("slim.removals", proves=["phase1-removals"])
def removal_problems(facts: SlimFacts) -> list[str]:
    """Planted files that the slimmed snapshot still has, and removals that freed nothing."""
    problems = [f"{path}: still there after the removals" for path in facts.left]
    for removal, path in facts.planted.items():
        if facts.saved_mb.get(removal, 0.0) <= 0:
            problems.append(f"{removal}: df shows no saved space, although {path} had to be removed")
    return problems


@check("slim.snapshot", proves=["phase1-snapshot"])
def slim_snapshot_problems(facts: SlimFacts) -> list[str]:
    """No snapshot of a VM whose tools all work, or one of a VM in which a tool does not."""
    if facts.published == (not facts.tool_problems):
        return []
    if facts.published:
        return ["a snapshot of the slimmed VM was taken, although a tool does not work"]
    return ["no snapshot of the slimmed VM was taken, although every tool works"]


@check("trouble.disk_full", proves=["trouble-disk-full"])
def disk_full_problems(facts: TroubleFacts) -> list[str]:
    """A full disk that is not named with what takes its space, or that is still full after the clean-up."""
    problems = _only("disk space", facts)
    if not problems and " MiB" not in facts.causes["disk space"]:
        problems.append(f"the diagnosis does not say what takes the space: {facts.causes['disk space']}")
    return problems + [f"after the clean-up: {step}: {seen}" for step, seen in (facts.causes_after or {}).items()]


@check("trouble.ext4", proves=["trouble-ext4"])
def ext4_problems(facts: TroubleFacts) -> list[str]:
    """Damage of the disk that the guest's kernel does not report, or the diagnosis does not name."""
    if "ext4" in facts.causes:
        return []
    return [f"a directory was damaged on the disk; the diagnosis names {', '.join(facts.causes) or 'no cause'}"]


@check("clean_up.killed", proves=["cleanup"])
def clean_up_problems(facts: CleanUpFacts) -> list[str]:
    """What a killed process had, and the next start did not remove."""
    missing = [kind for kind, found in facts.had.items() if not found]
    problems = [f"control failed: the process had no {kind}, so nothing is proved" for kind in missing]
    return problems + [f"left behind: {kind}: {', '.join(found)}" for kind, found in facts.left.items() if found]


@check("clean_up.procedures", proves=["cleanup"])
def remaining_problems(remaining: Mapping[str, Sequence[str]]) -> list[str]:
    """What the procedures left on the host or in the home, by kind."""
    return [f"the procedures left: {kind}: {', '.join(found)}" for kind, found in remaining.items() if found]


@check("procedures.snapshot", proves=["rootfs-never-changed"])
def touched_problems(procedure: str, before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    """Files of the snapshot that changed during a procedure. before, after: the stat of each file."""
    return [
        f"{name}: changed during: {procedure}"
        for name in dict.fromkeys([*before, *after])
        if before.get(name) != after.get(name)
    ]


def _only(step: str, facts: TroubleFacts) -> list[str]:
    """A diagnosis that names another cause than this one."""
    if list(facts.causes) == [step]:
        return []
    return [f"the diagnosis names {', '.join(facts.causes) or 'no cause'}, expected {step!r}"]
