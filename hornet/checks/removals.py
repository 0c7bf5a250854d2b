"""What We Remove (guide: Design Goals): absent by path, by package database and by file type."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase

from hornet.checks.check import Subject, check
from hornet.formats.image_tree import ImageTree
from hornet.formats.shebang import interpreter_of
from hornet.spec.model import Spec
from hornet.spec.rules import Removal

MB = 1_000_000
DPKG_STATUS = "/var/lib/dpkg/status"
DPKG_STATUS_DIRECTORY = "/var/lib/dpkg/status.d"
APK_INSTALLED = "/lib/apk/db/installed"
# A few examples of each kind are enough to act on.
SHOWN = 5


def _removals(spec: Spec, patterns: Callable[[Removal], list[str]]) -> dict[str, tuple[Removal]]:
    """The removals that have patterns for a check: without patterns the check could not fail."""
    return {name: (removal,) for name, removal in spec.removals.items() if patterns(removal)}


@check("removal.{}.path", Subject.IMAGE, each=lambda spec: _removals(spec, lambda removal: removal.paths))
def path_problems(removal: Removal, tree: ImageTree) -> list[str]:
    """Paths of a removed thing that are in the image, each with its number of files and size."""
    problems = []
    for path in tree.matching(removal.paths):
        count, size_bytes = tree.size_below(path)
        problems.append(f"{_subject(removal)}: {path} is in the image: {count} files, {size_bytes / MB:.2f} MB")
    return problems


@check("removal.{}.package", Subject.IMAGE, each=lambda spec: _removals(spec, lambda removal: removal.packages))
def package_problems(removal: Removal, tree: ImageTree) -> list[str]:
    """Installed packages of a removed thing, according to the image's dpkg or apk database."""
    found = sorted(name for name in set(installed_packages(tree)) if _matches(name, removal.packages))
    return [f"{_subject(removal)}: the package {name} is installed" for name in found]


@check(
    "removal.{}.file_type",
    Subject.IMAGE,
    each=lambda spec: _removals(spec, lambda it: [*it.names, *it.interpreters, *it.magics]),
)
def file_type_problems(removal: Removal, tree: ImageTree) -> list[str]:
    """Files of a removed thing anywhere in the image: by name, script interpreter or first bytes."""
    kinds = {f"named like {', '.join(removal.names)}": tree.named(removal.names)}
    magics = tuple(bytes.fromhex(magic) for magic in removal.magics)
    if magics or removal.interpreters:
        heads = {path: tree.head(path) for path in tree.files}
        kinds["by its first bytes"] = [path for path, head in heads.items() if magics and head.startswith(magics)]
        asked = {path: interpreter_of(head) for path, head in heads.items()}
        for path, interpreter in asked.items():
            if interpreter and _matches(interpreter.program_name, removal.interpreters):
                kinds.setdefault(f"a script for {interpreter.program_name}", []).append(path)
    return [
        f"{_subject(removal)}: {len(paths)} files {kind}: {_examples(paths)}" for kind, paths in kinds.items() if paths
    ]


def installed_packages(tree: ImageTree) -> Iterator[str]:
    """Names of installed packages. An image whose packages were only unpacked has no database, so there are none."""
    for record in (tree.text(DPKG_STATUS) or "").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in record.splitlines() if ": " in line and line[0] != " ")
        if "Package" in fields and fields.get("Status", "install ok installed").endswith(" installed"):
            yield fields["Package"]
    for path in tree.files:
        if path.startswith(f"{DPKG_STATUS_DIRECTORY}/"):
            yield path.rpartition("/")[2]
    for line in (tree.text(APK_INSTALLED) or "").splitlines():
        if line.startswith("P:"):
            yield line[2:]


def _examples(paths: list[str]) -> str:
    return ", ".join(paths[:SHOWN]) + (" …" if len(paths) > SHOWN else "")


def _subject(removal: Removal) -> str:
    return f"{removal.title} ({removal.reason})"


def _matches(name: str, globs: list[str]) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)
