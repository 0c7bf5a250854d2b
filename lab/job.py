"""What runs in the emulated host: one command, with the directory and the environment that it would have here."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hornet.errors import HostError
from lab.components import Components, make_cpio

SCRIPTS = ("init", "main")
HERE = Path(__file__).parent
NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
# Names of things of this machine that the emulated host does not have.
NOT_PASSED = ("TMPDIR", "DISPLAY", "SSH_AUTH_SOCK", "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR")


@dataclass(frozen=True)
class Job:
    """One command. home: HORNET_HOME. terminal: rows and columns of the terminal to run it on, or None."""

    command: Sequence[str]
    directory: Path
    environment: Mapping[str, str]
    home: Path
    time_limit_s: float
    terminal: tuple[int, int] | None = None

    def settings(self, modules: Path) -> str:
        """The shell script that sets the environment, variables of the lab, and the command as "$@"."""
        rows, columns = self.terminal or (0, 0)
        passed = {name: value for name, value in self.environment.items() if NAME.match(name)}
        variables = {
            **{name: value for name, value in passed.items() if name not in NOT_PASSED},
            "HORNET_HOME": str(self.home),
        }
        of_the_lab = {
            "LAB_DIRECTORY": str(self.directory),
            "LAB_MODULES": str(modules),
            "LAB_TIME_LIMIT_S": f"{self.time_limit_s:.0f}",
            "LAB_TERMINAL": "yes" if self.terminal else "",
            "LAB_ROWS": str(rows),
            "LAB_COLUMNS": str(columns),
        }
        lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
        lines += [f"{name}={shlex.quote(value)}" for name, value in of_the_lab.items()]
        return "\n".join([*lines, f"set -- {shlex.join(self.command)}"]) + "\n"

    def pack(self, parts: Components, work: Path) -> Path:
        """The initramfs of this job. Raises HostError for a full disk, CommandError."""
        content = work / "job"
        try:
            (content / "job").mkdir(parents=True)
            for name in SCRIPTS:
                shutil.copy(HERE / name, content / "job" / name)
            (content / "job" / "init").rename(content / "init")
            (content / "init").chmod(0o755)
            (content / "job" / "settings").write_text(self.settings(parts.modules), encoding="utf-8")
        except OSError as error:
            raise HostError(f"{content}: can't be written: {error.strerror}", "free space there") from error
        packed = work / "job.cpio"
        make_cpio(parts.busybox, content, packed)
        return packed
