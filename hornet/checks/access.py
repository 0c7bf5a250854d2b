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
    """The root, and directories on the way to commands and libraries, that users other than root cannot cross."""
    directories = {"/": tree.root}
    for path in (*paths.command_paths, *paths.library_paths):
        if (real := tree.resolve(path)) and real != "/":
            parts = real.split("/")
            above = ("/".join(parts[: count + 1]) for count in range(1, len(parts)))
            directories |= {directory: tree.entries[directory] for directory in above}
    return [
        f"{directory}: mode {stat.S_IMODE(entry.mode):04o}, expected 0755, which others can cross: "
        "no user but root can run anything below it"
        for directory, entry in directories.items()
        if not entry.mode & CROSS_BY_OTHERS
    ]
