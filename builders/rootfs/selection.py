"""Selects the files of the extracted packages for an image: kept paths, and the shared libraries that they need."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hornet.errors import BuildError
from hornet.formats.elf import ElfError, read_linkage

LIBRARY_COMPONENT = "Shared libraries"
LIBRARY_DIRECTORIES = ("usr/lib/x86_64-linux-gnu", "usr/lib64", "usr/lib")


@dataclass
class Selection:
    """Paths of a tree (relative, no leading slash), each with its component."""

    tree: Path
    component_by_path: dict[str, str] = field(default_factory=dict)

    def add(self, path: str, component: str) -> None:
        """Select a path with everything below it and, for a symbolic link, its target."""
        path = self._through_directory_links(path, component)
        if path in self.component_by_path:
            return
        self.component_by_path[path] = component
        full = self.tree / path
        if full.is_symlink():
            target = os.readlink(full)
            joined = target.lstrip("/") if target.startswith("/") else f"{os.path.dirname(path)}/{target}"
            resolved = os.path.normpath(joined).lstrip("/")
            if (self.tree / resolved).exists() and not (self.tree / resolved).is_dir():
                self.add(resolved, component)
        elif full.is_dir():
            for name in sorted(os.listdir(full)):
                self.add(f"{path}/{name}", component)

    def _through_directory_links(self, path: str, component: str) -> str:
        """The real path of `path`: /lib/x is usr/lib/x. The link /lib is selected too."""
        parts = path.strip("/").split("/")
        for depth in range(1, len(parts)):
            head = self.tree.joinpath(*parts[:depth])
            if head.is_symlink():
                link = "/".join(parts[:depth])
                self.component_by_path.setdefault(link, component)
                target = os.path.normpath(f"{os.path.dirname(link)}/{os.readlink(head)}").lstrip("/")
                return self._through_directory_links("/".join([target, *parts[depth:]]), component)
        return "/".join(parts)

    def close_over_libraries(self) -> None:
        """Select every shared library that a selected ELF file needs, directly or indirectly.

        A library that a single component needs belongs to it; the others belong to LIBRARY_COMPONENT. Raises
        BuildError with the file and the library if no package contains it.
        """
        users: dict[str, set[str]] = {}
        for component in dict.fromkeys(self.component_by_path.values()):
            for library in self._libraries_of(component):
                users.setdefault(library, set()).add(component)
        for library, components in sorted(users.items()):
            self.add(library, components.pop() if len(components) == 1 else LIBRARY_COMPONENT)

    def _libraries_of(self, component: str) -> set[str]:
        """Paths of all libraries that a component's files need, directly or indirectly."""
        queue = [path for path, owner in self.component_by_path.items() if owner == component]
        found: set[str] = set()
        while queue:
            path = queue.pop()
            for name in needed_libraries(self.tree / path):
                library = self._find_library(name)
                if library is None:
                    raise BuildError(f"/{path} needs {name}, which no extracted package has", "add its package")
                if library not in found:
                    found.add(library)
                    queue.append(self._real(library))
        return found

    def _real(self, path: str) -> str:
        """The target of a path within the tree."""
        scratch = Selection(self.tree)
        scratch.add(path, "")
        return next(name for name in reversed(scratch.component_by_path) if not (self.tree / name).is_symlink())

    def _find_library(self, name: str) -> str | None:
        if name.startswith("/"):
            return name.lstrip("/")
        candidates = (f"{directory}/{name}" for directory in LIBRARY_DIRECTORIES)
        return next((path for path in candidates if (self.tree / path).exists()), None)


def select(tree: Path, keep: Mapping[str, Sequence[str]]) -> Selection:
    """Select by component: {component: globs}. Raises BuildError for a glob that matches nothing."""
    selection = Selection(tree)
    for component, patterns in keep.items():
        for pattern in patterns:
            found = sorted(matches(tree, pattern))
            if not found:
                raise BuildError(
                    f"{component}: {pattern} matches nothing in the packages",
                    f"correct the paths of {component!r} in spec/builders.toml, or add the package with the file",
                )
            for match in found:
                selection.add(match, component)
    selection.close_over_libraries()
    return selection


def needed_libraries(path: Path) -> list[str]:
    """The interpreter and the shared libraries of an ELF file; empty for any other file."""
    try:
        linkage = read_linkage(path)
    except ElfError as error:
        raise BuildError(error.message, "fetch the package again") from error
    return linkage.needs if linkage else []


def expand_braces(pattern: str) -> Iterator[str]:
    """Expand `a/{b,c}` to `a/b` and `a/c`. Python's globs do not support braces."""
    found = re.search(r"\{([^{}]*)\}", pattern)
    if not found:
        yield pattern
        return
    for choice in found[1].split(","):
        yield from expand_braces(pattern[: found.start()] + choice + pattern[found.end() :])


def matches(tree: Path, pattern: str) -> set[str]:
    """The paths of a tree that a glob with braces matches, without a leading slash."""
    return {match for single in expand_braces(pattern) for match in glob.glob(single.lstrip("/"), root_dir=tree)}
