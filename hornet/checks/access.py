"""Whether users other than root can use an image: a strict umask of its builder keeps them out."""

from __future__ import annotations

import stat

from hornet.checks.check import Subject, check
from hornet.formats.image_tree import ImageTree
from hornet.spec.rules import DanglingDependencies

CROSS_BY_OTHERS = 0o001


@check(
    "access.crossing",
    Subject.IMAGE,
    given=lambda spec: spec.dangling_dependencies,
    proves=["image-crossable"],
)
def crossing_problems(paths: DanglingDependencies, tree: ImageTree) -> list[str]:
    """Directories of commands and libraries, and those above them, that users other than root cannot cross."""
    directories: dict[str, None] = {}
    for path in (*paths.command_paths, *paths.library_paths):
        if (real := tree.resolve(path)) and real != "/":
            parts = real.split("/")
            directories |= dict.fromkeys("/".join(parts[: count + 1]) for count in range(1, len(parts)))
    return [
        f"{directory}: mode {stat.S_IMODE(tree.entries[directory].mode):04o}, expected 0755, which others can cross: "
        "no user but root can run anything below it"
        for directory in directories
        if not tree.entries[directory].mode & CROSS_BY_OTHERS
    ]
