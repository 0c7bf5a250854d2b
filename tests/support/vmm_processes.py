"""The VMM processes below a process, whichever VMM they are."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psutil

from hornet.vmm.registry import vmm_programs

PROGRAMS = {program.name for program in vmm_programs().values()}


def vmm_processes(pid: int) -> list[psutil.Process]:
    """Running VMMs that the process, or a child of it, has started."""
    found = []
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if Path(child.exe()).name in PROGRAMS:
                    found.append(child)
    return found
