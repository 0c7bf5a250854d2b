"""HORNET_HOME has the guide's layout, below one directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from hornet.host.workspace import Workspace


@pytest.mark.requirement("directory-structure")
def test_home_contains_images_snapshots_and_builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HORNET_HOME", str(tmp_path))
    workspace = Workspace.from_env()
    for name in ("images", "snapshots", "build"):
        assert getattr(workspace, name) == tmp_path / name
        assert (tmp_path / name).is_dir()
