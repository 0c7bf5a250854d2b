"""The content of an image, by component."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path

from builders.bill import Part

# The component of the builder's own files.
OWN_COMPONENT = "HornetOS files"


@dataclass
class Content:
    """The content that a distro's builder put into the tree `root`. packages: {name: version}.

    component_by_path: paths relative to `root`, each with its component. own: those that the project writes.
    parts: each package with the paths that it may have in the tree.
    """

    distro: str
    root: Path
    packages: dict[str, str]
    npm: dict[str, str] = field(default_factory=dict)
    component_by_path: dict[str, str] = field(default_factory=dict)
    own: set[str] = field(default_factory=set)
    parts: list[tuple[Part, Set[str]]] = field(default_factory=list)

    def count(self, component: str, paths: Iterable[Path]) -> None:
        """Count files of the tree for a component."""
        for path in paths:
            self.component_by_path[str(path.relative_to(self.root))] = component

    def count_own(self, component: str, paths: Iterable[Path]) -> None:
        """Count files that the project wrote itself."""
        written = list(paths)
        self.count(component, written)
        self.own |= {str(path.relative_to(self.root)) for path in written}

    def sizes_bytes(self, stored: Mapping[str, int]) -> dict[str, int]:
        """Bytes by component, largest first. stored: the bytes that files of a compressed /usr take, by path."""
        sizes: dict[str, int] = {}
        for path, component in self.component_by_path.items():
            found = stored[path] if path in stored else file_bytes(self.root / path)
            sizes[component] = sizes.get(component, 0) + found
        return dict(sorted(sizes.items(), key=lambda item: -item[1]))


def file_bytes(path: Path) -> int:
    """The size of a plain file; 0 for links and directories."""
    return path.stat().st_size if path.is_file() and not path.is_symlink() else 0
