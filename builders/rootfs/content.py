"""The content of an image, by component."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

# The component of the builder's own files.
OWN_COMPONENT = "HornetOS files"


@dataclass
class Content:
    """The content that a distro's builder put into the tree `root`. packages: {name: version}.

    component_by_path: paths relative to `root`, each with its component.
    """

    distro: str
    root: Path
    packages: dict[str, str]
    npm: dict[str, str] = field(default_factory=dict)
    component_by_path: dict[str, str] = field(default_factory=dict)

    def count(self, component: str, paths: Iterable[Path]) -> None:
        """Count files of the tree for a component."""
        for path in paths:
            self.component_by_path[str(path.relative_to(self.root))] = component

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
