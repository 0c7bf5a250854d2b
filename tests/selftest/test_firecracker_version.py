"""The Firecracker driver refuses a program that it cannot drive before it starts a VM."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hornet.errors import VMError
from hornet.vmm import firecracker


@pytest.fixture
def prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a `firecracker` on PATH that prints a text and nothing else."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    firecracker._require_supported.cache_clear()

    def make(text: str) -> None:
        (tmp_path / "firecracker").write_text(f"#!/bin/sh\necho '{text}'\n")
        (tmp_path / "firecracker").chmod(0o755)

    return make


@pytest.mark.parametrize("version", ["1.7.0", "1.9.1", "0.25.2"])
def test_old_firecracker_is_rejected(version: str, prints: Callable[[str], None]) -> None:
    prints(f"Firecracker v{version}")
    with pytest.raises(VMError, match=rf"version {version}, expected 1\.10 or newer"):
        firecracker.DRIVER.prepare()


@pytest.mark.parametrize("version", ["1.10.0", "1.16.1", "1.17.0-dev", "2.0.0"])
def test_supported_firecracker_is_accepted(version: str, prints: Callable[[str], None]) -> None:
    prints(f"Firecracker v{version}")
    firecracker.DRIVER.prepare()
    assert firecracker.DRIVER.version() == version


@pytest.mark.parametrize("text", ["", "Fireworks v1.16.1", "Firecracker vX"])
def test_another_program_is_rejected(text: str, prints: Callable[[str], None]) -> None:
    prints(text)
    with pytest.raises(VMError, match="expected 'Firecracker vN"):
        firecracker.DRIVER.prepare()
