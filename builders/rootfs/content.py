"""The content of an image, by component."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

# The component of the builder's own files.
OWN_COMPONENT = "HornetOS files"


@dataclass
class Content:
    """The content that a distro's builder put into a tree. sizes_bytes: by component; packages: {name: version}."""

    distro: str
    sizes_bytes: dict[str, int]
    packages: dict[str, str]
    npm: dict[str, str] = field(default_factory=dict)

    def count(self, component: str, size_bytes: int) -> None:
        """Add bytes to a component."""
        self.sizes_bytes[component] = self.sizes_bytes.get(component, 0) + size_bytes


def file_bytes(path: Path) -> int:
    """The size of a plain file; 0 for links and directories."""
    return path.stat().st_size if path.is_file() and not path.is_symlink() else 0


def tree_bytes(root: Path) -> int:
    """The total size of all plain files below a directory."""
    return sum(file_bytes(path) for path in root.rglob("*"))
