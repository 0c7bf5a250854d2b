"""The Firecracker driver refuses a program that it cannot drive before it starts a VM."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hornet.errors import VMError
from hornet.spec.model import Spec
from hornet.vmm.firecracker import program
from hornet.vmm.firecracker.driver import DRIVER, supported


@pytest.fixture
def prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a `firecracker` on PATH that prints a text and nothing else."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    program._ask.cache_clear()

    def make(text: str) -> None:
        (tmp_path / "firecracker").write_text(f"#!/bin/sh\necho '{text}'\n")
        (tmp_path / "firecracker").chmod(0o755)

    return make


@pytest.mark.parametrize("version", ["1.7.0", "1.9.1", "0.25.2"])
def test_old_firecracker_is_rejected(version: str, prints: Callable[[str], None], spec: Spec) -> None:
    prints(f"Firecracker v{version}")
    with pytest.raises(VMError, match=rf"version {version}, expected 1\.10\.0 or newer"):
        supported(spec.firecracker)


@pytest.mark.parametrize("version", ["1.10.0", "1.16.1", "1.17.0-dev", "2.0.0"])
def test_supported_firecracker_is_accepted(version: str, prints: Callable[[str], None], spec: Spec) -> None:
    prints(f"Firecracker v{version}")
    assert supported(spec.firecracker).version == version


@pytest.mark.parametrize("text", ["", "Fireworks v1.16.1", "Firecracker vX"])
def test_another_program_is_rejected(text: str, prints: Callable[[str], None]) -> None:
    prints(text)
    with pytest.raises(VMError, match="expected 'Firecracker vN"):
        DRIVER.prepare()


def test_hazards_of_the_release_are_named(prints: Callable[[str], None], spec: Spec) -> None:
    prints("Firecracker v1.15.1")
    hazards = DRIVER.hazards(spec.firecracker, "6.1.192")
    assert len(hazards) == 2
    assert "Firecracker 1.15.1: serial-stuck: a snapshot taken while" in hazards[0]
    assert hazards[0].endswith("(mended in Firecracker 1.16.0)")
    program._ask.cache_clear()
    prints("Firecracker v1.16.1")
    assert DRIVER.hazards(spec.firecracker, "6.1.192") == []


def test_snapshot_format_is_asked_for(prints: Callable[[str], None]) -> None:
    prints("v10.0.0")
    assert DRIVER.snapshot_format() == "10.0.0"
    prints("Firecracker v1.16.1")
    program._ask.cache_clear()
    with pytest.raises(VMError, match=r"expected 'vN\.N\.N'"):
        DRIVER.snapshot_format()


def test_variable_names_the_program(
    prints: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prints("Firecracker v1.16.1")
    other = tmp_path / "other"
    other.write_text("#!/bin/sh\necho Firecracker v1.13.2\n")
    other.chmod(0o755)
    monkeypatch.setenv(program.VARIABLE, str(other))
    assert DRIVER.version() == "1.13.2"
    monkeypatch.setenv(program.VARIABLE, str(tmp_path / "none"))
    assert DRIVER.program.missing
