"""What an image's bill of materials lists: its packages, and the files that come from none of them."""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path

from cyclonedx.model.component import Component

from builders.apt.packages import FIELDS, DebPackage, merged
from builders.bill import Part, file_component, made_component, own_component, part_component
from builders.licences import licences_of
from builders.rootfs.compressed_usr import program_path
from builders.rootfs.content import OWN_COMPONENT, Content
from hornet.errors import BuildError
from hornet.foreign_file import read_bytes, read_text
from hornet.host.artifact_store import file_sha256
from hornet.host.proc import run

DOCUMENTATION = "usr/share/doc"
DPKG_DATABASE = "var/lib/dpkg"
MAX_COPYRIGHT_BYTES = 16 << 20
MAX_LIST_BYTES = 16 << 20
QUERY_TIMEOUT_S = 60
# Of a tree that a package manager made: what its packages' scripts made.
MADE_COMPONENT = "made during installation"
SHOWN_PATHS = 5


def bill_components(content: Content, *, as_installed: bool) -> list[Component]:
    """The packages that have a file in the tree, and the files of no package.

    as_installed: a package manager made the tree (see Packing), and its packages' scripts made files. Otherwise such a
    file is the project's own, and BuildError is raised for one of unknown origin.
    """
    present = {str(path.relative_to(content.root)) for path in content.root.rglob("*") if _is_file(path)}
    found = [(part, (paths & present) - content.own) for part, paths in content.parts]
    unknown = present.difference(content.own, *(paths for _, paths in found))
    if unknown and not as_installed:
        raise BuildError(
            f"{len(unknown)} files of the image belong to no package: {', '.join(sorted(unknown)[:SHOWN_PATHS])}",
            "count what a builder writes with Content.count_own()",
        )
    own = own_component(OWN_COMPONENT, _files(content.root, content.own & present))
    made = [made_component(MADE_COMPONENT, _files(content.root, unknown))] if unknown else []
    return [*(part_component(part) for part, paths in found if paths), own, *made]


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _files(root: Path, paths: Set[str]) -> list[Component]:
    return [file_component(f"/{path}", file_sha256(root / path)) for path in sorted(paths)]


def mounting_program(root: Path) -> Component:
    """The program that mounts a compressed /usr, which is the project's own."""
    program = program_path(root)
    name = f"/{program.relative_to(root)} (mounts the compressed /usr)"
    return own_component("HornetOS, compressed /usr", [file_component(name, file_sha256(program))])


def installed_parts(tree: Path) -> list[tuple[Part, Set[str]]]:
    """The packages in dpkg's database of a tree, with their files."""
    database = tree / DPKG_DATABASE
    fields = "".join(f"${{{name}}}\\t" for name in FIELDS)
    argv: list[str | Path] = ["dpkg-query", f"--admindir={database}", "-W", f"--showformat={fields}\\n"]
    packages = [
        DebPackage(*line.split("\t")[: len(FIELDS)])
        for line in run(argv, timeout_s=QUERY_TIMEOUT_S).output.splitlines()
    ]
    return [(debian_part(package, tree), _listed(database, package)) for package in packages]


def _listed(database: Path, package: DebPackage) -> set[str]:
    names = (package.name, f"{package.name}:{package.architecture}")
    lists = [path for name in names if (path := database / "info" / f"{name}.list").exists()]
    return {merged(line.lstrip("/")) for path in lists for line in read_text(path, MAX_LIST_BYTES).splitlines()}


def debian_part(package: DebPackage, tree: Path) -> Part:
    """A Debian package whose copyright file is in `tree`."""
    return Part(
        "deb",
        package.name,
        package.version,
        "debian",
        (("arch", package.architecture),),
        _licences(tree, package.name),
        (package.source, package.source_version),
        (("SHA-256", package.sha256),) if package.sha256 else (),
    )


def _licences(tree: Path, package: str) -> tuple[str, ...]:
    """A documentation directory may be a link to that of another package."""
    path = (tree / DOCUMENTATION / package / "copyright").resolve()
    if not path.is_relative_to(tree.resolve()) or not path.is_file():
        return ()
    return licences_of(read_bytes(path, MAX_COPYRIGHT_BYTES).decode(errors="replace"))
