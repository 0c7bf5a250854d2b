"""Which of the machine's mounts the emulated host sees: all but those of devices, processes and running programs."""

from __future__ import annotations

from pathlib import Path

from hornet.host.owned import OCTAL

# The emulated host has its own.
HIDDEN = ("/proc", "/sys", "/dev", "/run")


def shown_mounts(mountinfo: str) -> list[str]:
    """The mount points to show, outer ones first, without duplicates. mountinfo: as in proc(5)."""
    points = [OCTAL.sub(lambda found: chr(int(found[1], 8)), line.split()[4]) for line in mountinfo.splitlines()]
    shown = [point for point in dict.fromkeys(points) if not _hidden(Path(point))]
    return sorted(shown, key=lambda point: len(Path(point).parts))


def _hidden(point: Path) -> bool:
    return any(point.is_relative_to(place) for place in HIDDEN)
