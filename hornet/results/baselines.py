"""Baselines: runs kept under a name, to compare later runs with. A copy, so that the run may be deleted.

baselines/<name>/<run>/ has the files of the run; baselines/<name>/benchmarks/ what pytest-benchmark saved for it. The
link `in-use` names the one that is compared with unless told otherwise.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from hornet.errors import HostError
from hornet.host.durable import put_in_place, replace_link
from hornet.host.owned import work_directory
from hornet.results.benchmarks import BENCHMARKS_DIRECTORY
from hornet.results.run_end import DEMANDS, RESULTS
from hornet.results.run_info import RUN_FILE, read_run_info, run_problems
from hornet.text import similar_names

IN_USE = "in-use"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Baselines:
    """The baselines in a directory."""

    root: Path

    def names(self) -> list[str]:
        """All names, in order."""
        found = (path for path in self.root.iterdir() if path.is_dir() and not path.is_symlink())
        return sorted(path.name for path in found if _is_name(path.name))

    def run(self, name: str) -> Path:
        """The run directory of a baseline. Raises HostError, with names like it, if there is none."""
        found = [path.parent for path in self.root.glob(f"{name}/*/{RUN_FILE}")] if name in self.names() else []
        if len(found) != 1:
            known = self.names()
            raise HostError(
                f"{name}: no such baseline{similar_names(name, known)}",
                f"use one of: {', '.join(known) or 'none yet'}; hornetos baseline save NAME RUN makes one",
            )
        return found[0]

    def save(self, name: str, run: Path) -> Path:
        """Keep a run under a name; returns the copy.

        Raises HostError for a name that is taken or not one, and for a run that did not end or was edited.
        """
        if not _is_name(name):
            raise HostError(f"{name!r} is no name", "use letters, digits, dots, hyphens and underscores")
        if name in self.names():
            raise HostError(f"baseline {name}: exists", f"hornetos baseline remove {name}, or use another name")
        problems = run_problems(run, read_run_info(run / RUN_FILE))
        if problems:
            raise HostError(f"run {run.name}: {problems[0]}", "save a complete run: hornetos run")
        with work_directory(self.root, f".{name}") as work:
            copy = work / run.name
            copy.mkdir()
            for file in (RUN_FILE, *RESULTS, *DEMANDS):
                if (run / file).is_file():
                    shutil.copyfile(run / file, copy / file)
            for saved in sorted((run.parent / BENCHMARKS_DIRECTORY).glob("**/*.json")):
                if run.name.encode() in saved.read_bytes():
                    (work / BENCHMARKS_DIRECTORY).mkdir(exist_ok=True)
                    shutil.copyfile(saved, work / BENCHMARKS_DIRECTORY / saved.name)
            put_in_place(work, self.root / name)
        return self.root / name / run.name

    def in_use(self) -> str | None:
        """The name that is compared with unless told otherwise; None for none."""
        link = self.root / IN_USE
        return str(link.readlink()) if link.is_symlink() else None

    def use(self, name: str | None) -> None:
        """Compare with this one unless told otherwise; with none for None. Raises HostError for an unknown one."""
        if name is None:
            (self.root / IN_USE).unlink(missing_ok=True)
        else:
            self.run(name)
            replace_link(self.root / IN_USE, name)

    def remove(self, name: str) -> None:
        """Remove a baseline, and its use. Raises HostError for an unknown one."""
        self.run(name)
        if self.in_use() == name:
            self.use(None)
        shutil.rmtree(self.root / name)


def _is_name(text: str) -> bool:
    return NAME.fullmatch(text) is not None and text != IN_USE
