"""The settings of a host that change times and densities."""

from __future__ import annotations

from pathlib import Path

from hornet.host.tuning import FILES, UNKNOWN, tuning


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_settings_are_read_as_the_kernel_shows_them(tmp_path: Path) -> None:
    for cpu, governor in enumerate(("powersave", "performance", "powersave")):
        write(tmp_path, f"sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor", f"{governor}\n")
    write(tmp_path, "sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n")
    write(tmp_path, "proc/sys/vm/swappiness", "60\n")
    found = tuning(tmp_path)
    assert found["frequency governor"] == "powersave, performance"
    assert found["transparent huge pages"] == "madvise"
    assert found["swappiness"] == "60"
    assert found["boost"] == UNKNOWN


def test_every_setting_has_a_value_on_this_host() -> None:
    found = tuning()
    assert list(found) == list(FILES)
    assert all(found.values())
