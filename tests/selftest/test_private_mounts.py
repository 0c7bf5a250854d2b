"""Mounts of a test end with its process, however that ends."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hornet.installation import SOURCE
from tests.support import ext4_samples
from tests.support.private_mounts import mounted_here, private_mounts

MOUNTS_AND_WAITS = """
import sys
from pathlib import Path
from tests.support.ext4_samples import mounted
with mounted(Path(sys.argv[1])) as root:
    (root / "there").write_text("there")
    print(root, flush=True)
    sys.stdin.read()
"""
END_S = 20


@pytest.fixture
def image(tmp_path: Path) -> Path:
    if not ext4_samples.loop_devices_work():
        pytest.skip("not judged: this host has no loop devices")
    return ext4_samples.make_image(tmp_path / "disk")


def loop_devices_of(image: Path) -> str:
    return ext4_samples.run("losetup", "--associated", image)


def test_killed_process_leaves_no_mount_and_no_loop_device(image: Path) -> None:
    argv, environment = [sys.executable, "-c", MOUNTS_AND_WAITS, str(image)], {**os.environ, "PYTHONPATH": str(SOURCE)}
    with subprocess.Popen(argv, env=environment, cwd=SOURCE, stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout
        root = process.stdout.readline().strip()
        assert root in Path(f"/proc/{process.pid}/mountinfo").read_text()
        assert root not in Path("/proc/self/mountinfo").read_text(), "the host must not see it"
        assert loop_devices_of(image)
        process.kill()
    deadline_s = time.monotonic() + END_S
    while loop_devices_of(image) and time.monotonic() < deadline_s:
        time.sleep(0.1)
    assert not loop_devices_of(image)
    Path(root).rmdir()


def test_mount_is_undone_and_the_namespace_is_as_before(tmp_path: Path, image: Path) -> None:
    before, directory = os.readlink("/proc/self/ns/mnt"), Path.cwd()
    with ext4_samples.mounted(image) as root:
        assert (root / "big").exists()
        assert os.readlink("/proc/self/ns/mnt") != before
    assert not root.exists()
    assert not loop_devices_of(image)
    assert (os.readlink("/proc/self/ns/mnt"), Path.cwd()) == (before, directory)


def test_thread_that_outlives_the_block_is_no_obstacle(tmp_path: Path) -> None:
    before, end = os.readlink("/proc/self/ns/mnt"), threading.Event()
    with private_mounts():
        thread = threading.Thread(target=end.wait)
        thread.start()
    assert os.readlink("/proc/self/ns/mnt") == before
    end.set()
    thread.join()


def test_failed_mount_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="nowhere"), mounted_here(tmp_path, "-o", "loop", "/nowhere"):
        pass
