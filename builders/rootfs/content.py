"""What an image holds, counted by component."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

# The component that the builder's own files count for.
OWN_COMPONENT = "HornetOS files"


@dataclass
class Content:
    """What a distro's builder put into a tree. sizes_bytes: by component; packages: {name: version}."""

    distro: str
    sizes_bytes: dict[str, int]
    packages: dict[str, str]
    npm: dict[str, str] = field(default_factory=dict)

    def count(self, component: str, size_bytes: int) -> None:
        """Add to a component."""
        self.sizes_bytes[component] = self.sizes_bytes.get(component, 0) + size_bytes


def file_bytes(path: Path) -> int:
    """The size of a plain file; links and directories are nothing."""
    return path.stat().st_size if path.is_file() and not path.is_symlink() else 0


def tree_bytes(root: Path) -> int:
    """The sizes of all plain files below a directory."""
    return sum(file_bytes(path) for path in root.rglob("*"))
