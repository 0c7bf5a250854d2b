"""Facts of procedures as they must be, and as each check must reject them."""

from __future__ import annotations

from dataclasses import replace

from hornet.checks import procedures
from hornet.checks.procedures import CleanUpFacts, RollbackFacts, SlimFacts, TroubleFacts, VersionFacts
from tests.support.samples import Sample, sample

PUBLISHED = VersionFacts(0, "", ["seal", "required tools"], {}, parent="a" * 64, base="a" * 64)
NOT_VALID = replace(PUBLISHED, passed=["seal"], not_passed={"required tools": "FAIL; no node"}, parent=None)
ROLLED_BACK = RollbackFacts("word", ["new", "backup"], ["new", "backup"], [["word", "word"], []])
SLIMMED = SlimFacts({"python": "/usr/bin/python"}, [], {"python": 0.07}, [], published=True)
FULL = TroubleFacts({"disk space": "99 % of /; biggest: /root 40 MiB"}, {})
KILLED = CleanUpFacts({"namespaces": ["hornet-1-vm1"]}, {"namespaces": [], "VMM processes": []})


def procedure_samples() -> list[Sample]:
    """A sample of every check of procedures."""
    return [*_version_samples(), *_backup_samples(), *_slim_samples(), *_trouble_samples(), *_clean_up_samples()]


def _version_samples() -> list[Sample]:
    return [
        sample(
            procedures.version_problems,
            (PUBLISHED,),
            {
                "exit code 3: no space": (replace(PUBLISHED, exit_code=3, output="no space"),),
                "required tools: FAIL; no node": (NOT_VALID,),
                "although the validation passed": (replace(PUBLISHED, parent=None),),
                "its parent is bbb": (replace(PUBLISHED, parent="b" * 64),),
            },
        ),
        sample(
            procedures.step_problems,
            (["seal"], NOT_VALID),
            {
                "required tools: FAIL": (["required tools"], NOT_VALID),
                "network: not run": (["network"], PUBLISHED),
            },
        ),
        sample(
            procedures.change_problems,
            (ROLLED_BACK,),
            {
                "has nothing": (replace(ROLLED_BACK, seen=[[], []]),),
                "has other, word": (replace(ROLLED_BACK, seen=[["word", "other"], []]),),
            },
        ),
    ]


def _backup_samples() -> list[Sample]:
    files = {"rootfs.ext4": "1", "vm.mem": "2", "vm.snapshot": "3"}
    return [
        sample(
            procedures.rollback_problems,
            (ROLLED_BACK,),
            {
                "uses new, expected backup": (replace(ROLLED_BACK, production=["new", "new"]),),
                "the backup has the change: word": (replace(ROLLED_BACK, seen=[["word"], ["word"]]),),
            },
        ),
        sample(
            procedures.backup_problems,
            (files, files),
            {
                "vm.mem: differs": ({**files, "vm.mem": "9"}, files),
                "vm.snapshot: differs": ({"rootfs.ext4": "1", "vm.mem": "2"}, files),
                "other: differs": ({**files, "other": "4"}, files),
            },
        ),
        sample(
            procedures.mixture_problems,
            ({"vm.mem": "vm.mem: SHA-256"},),
            {"restored with the vm.mem": ({"rootfs.ext4": "changed", "vm.mem": ""},)},
        ),
        sample(procedures.wrong_approach_problems, (["directory broken"],), {"no damage": ([],)}),
    ]


def _slim_samples() -> list[Sample]:
    return [
        sample(
            procedures.removal_problems,
            (SLIMMED,),
            {
                "/usr/bin/python: still there": (replace(SLIMMED, left=["/usr/bin/python"]),),
                "python: df shows no saved space": (replace(SLIMMED, saved_mb={}),),
            },
        ),
        sample(
            procedures.slim_snapshot_problems,
            (SLIMMED,),
            {
                "no snapshot": (replace(SLIMMED, published=False),),
                "although a tool does not work": (replace(SLIMMED, tool_problems=["no git"]),),
            },
        ),
    ]


def _trouble_samples() -> list[Sample]:
    return [
        sample(
            procedures.disk_full_problems,
            (FULL,),
            {
                "names no cause": (TroubleFacts({}, {}),),
                "names login": (TroubleFacts({"login": "refused"}, {}),),
                "what takes the space": (TroubleFacts({"disk space": "99 % of /; biggest: unknown"}, {}),),
                "after the clean-up: disk space": (replace(FULL, causes_after=FULL.causes),),
            },
        ),
        sample(
            procedures.ext4_problems,
            (TroubleFacts({"console": "panic", "ext4": "directory broken"}),),
            {"names no cause": (TroubleFacts({}),), "names sshd": (TroubleFacts({"sshd": "silent"}),)},
        ),
    ]


def _clean_up_samples() -> list[Sample]:
    stats = {"rootfs.ext4": (1, 100), "vm.mem": (2, 200)}
    return [
        sample(
            procedures.clean_up_problems,
            (KILLED,),
            {
                "control failed": (replace(KILLED, had={"namespaces": []}),),
                "left behind: VMM processes: process 7": (replace(KILLED, left={"VMM processes": ["process 7"]}),),
            },
        ),
        sample(procedures.remaining_problems, ({"namespaces": []},), {"namespaces: vm1": ({"namespaces": ["vm1"]},)}),
        sample(
            procedures.touched_problems,
            ("slimming", stats, stats),
            {
                "vm.mem: changed during: slimming": ("slimming", stats, {**stats, "vm.mem": (2, 201)}),
                "rootfs.ext4: changed": ("slimming", stats, {"vm.mem": (2, 200)}),
                "other: changed": ("slimming", stats, {**stats, "other": (3, 1)}),
            },
        ),
    ]
