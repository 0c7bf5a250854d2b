"""Images made to get at the host, or to cost it more than they weigh: no write gets out, and the verdict is right.

The commands run on a copy-on-write view of the whole machine, so that any write anywhere shows.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hornet.errors import Ext4Error
from hornet.formats.ext4.verdict import judge_ext4
from hornet.host.checkout_owner import give_to_owner
from hornet.host.workspace import Workspace
from hornet.installation import SOURCE
from hornet.procedures.judge_image import judge_image
from hornet.spec.model import load_spec
from tests.support import ext4_samples as samples

SPEC = load_spec()
TOKEN = SPEC.secrets.patterns["GitHub token"].secret
TIMEOUT_S = 120
# $1: a directory for the view; $2: the command. What was written is then below $1/written.
OVERLAY = """
set -e
mount -t tmpfs view "$1"
mkdir "$1/written" "$1/work" "$1/root"
mount -t overlay view -o "lowerdir=/,upperdir=$1/written,workdir=$1/work" "$1/root"
for special in /proc /dev /sys /run; do mount --rbind $special "$1/root$special"; done
mkdir -p "$1/root$HORNET_HOME" "$1/root$1/machine"
mount -t tmpfs home "$1/root$HORNET_HOME"
cd "$1/root"
pivot_root . "./$1/machine"
cd /
code=0; sh -c "$2" || code=$?
find "$1/machine$1/written" ! -type d | sed "s|^$1/machine$1/written||"
exit $code
"""


def written_by(command: str, tmp_path: Path) -> tuple[int, list[str], str]:
    """Exit code of a command, every path that it wrote outside of its own home, and what it said."""
    view, workspace = tmp_path / "view", tmp_path / "home"
    view.mkdir()
    workspace.mkdir()
    environment = {
        **os.environ,
        "HORNET_HOME": str(workspace),
        "PYTHONPATH": str(SOURCE),
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": str(workspace),
    }
    # The command does it at its end, and a change of owner counts as written here.
    give_to_owner(Workspace.from_env())
    words: list[str | Path] = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        OVERLAY,
        "sh",
        view,
        f"{command} >&2",
    ]
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, env=environment, cwd="/"
    )
    return done.returncode, done.stdout.splitlines(), done.stderr


def ext4_image(path: Path, options: str, commands: str) -> None:
    """An image of 8 MiB, filled by debugfs."""
    path.write_bytes(b"")
    os.truncate(path, 8 << 20)
    samples.run("mkfs.ext4", "-qF", "-b", "1024", *options.split(), path)
    script = path.with_suffix(".commands")
    script.write_text(commands)
    samples.run("debugfs", "-w", "-f", script, path)


def rename(image: Path, **names: str) -> None:
    """Change names in the image's directories byte by byte; old and new are of the same length."""
    content = image.read_bytes()
    for old, new in names.items():
        assert len(old) == len(new)
        assert old.encode() in content
        content = content.replace(old.encode(), new.encode())
    image.write_bytes(content)


BARE = "-O ^metadata_csum,^dir_index,^has_journal,^64bit"


def twice(first: str, second: str) -> Callable[[Path, Path], None]:
    """A directory of two blocks that holds one name twice; FILE and TARGET stand for a file of the host."""

    def make(image: Path, target: Path) -> None:
        content = image.with_suffix(".content")
        content.write_text("pwned")
        fill = "".join(f"write {content} d/filler{number}\n" for number in range(70))
        commands = f"mkdir d\n{first}\n{fill}{second}\n".replace("TARGET", str(target)).replace("FILE", str(content))
        ext4_image(image, BARE, commands)
        rename(image, evil0="evilX", evil9="evilX")

    return make


def odd_files(image: Path, target: Path) -> None:
    """Device nodes, a FIFO, setuid programs, hard links, extended attributes, links that lead outside."""
    content = image.with_suffix(".content")
    content.write_text("#!/bin/sh\n")
    commands = f"""
mkdir usr
mknod disk b 8 0
mknod mem c 1 1
mknod pipe p
write {content} program
sif program mode 0104777
ln program program2
sif program links_count 2
ea_set program security.capability -f {content}
ea_set program trusted.overlay.opaque y
symlink out {target}
symlink up ../../../../../../../../../..{target}
mkdir dir
symlink dir/etc /etc
"""
    ext4_image(image, "", commands)


def dots(image: Path, target: Path) -> None:
    """Names that lead upwards, and one with a slash in it."""
    content = image.with_suffix(".content")
    content.write_text("pwned")
    ext4_image(
        image, BARE, f"mkdir usr\nmkdir d\nwrite {content} d/evil0\nwrite {content} d/ab\nwrite {content} d/evil9\n"
    )
    rename(image, evil0="../e0", evil9="../e9")


ATTACKS: dict[str, tuple[Callable[[Path, Path], None], bool]] = {
    "a link, then a file through it": (twice("symlink d/evil0 TARGET", "write FILE d/evil9"), False),
    "a file, then a link": (twice("write FILE d/evil0", "symlink d/evil9 TARGET"), False),
    "a link, then a directory": (twice("symlink d/evil0 TARGET", "mkdir d/evil9"), False),
    "two files": (twice("write FILE d/evil0", "write FILE d/evil9"), False),
    "devices, setuid, xattrs, links": (odd_files, True),
    "names with dots and slashes": (dots, False),
}
JUDGE = (
    "import sys; from pathlib import Path; from hornet.host.workspace import Workspace; "
    "from hornet.spec.model import load_spec; "
    "from hornet.procedures.judge_image import judge_image; "
    "judge_image(Path(sys.argv[1]), load_spec(), (), Workspace.from_env().run)"
)


@pytest.mark.parametrize("name", ATTACKS)
def test_nothing_of_the_host_is_written(name: str, tmp_path: Path) -> None:
    make, sound = ATTACKS[name]
    image, target = tmp_path / "e.img", tmp_path / "planted"
    make(image, target)
    for command in (f"{sys.executable} -m hornet_cli ext4 {image}", f"{sys.executable} -c '{JUDGE}' {image}"):
        view = tmp_path / command.split()[2].strip("-'\";")
        view.mkdir()
        code, written, said = written_by(command, view)
        assert written == [], said
        assert "Traceback" not in said or "Ext4Error" in said, said
        if "hornet_cli" in command:
            assert code == (0 if sound else 1), said
    assert not target.exists()


def test_the_view_sees_a_write(tmp_path: Path) -> None:
    code, written, said = written_by("echo x >/usr/planted; rm /etc/hostname; exit 3", tmp_path)
    assert (code, written) == (3, ["/etc/hostname", "/usr/planted"]), said


def test_a_name_that_stands_twice_is_damage(tmp_path: Path) -> None:
    image = tmp_path / "e.img"
    twice("symlink d/evil0 TARGET", "write FILE d/evil9")(image, tmp_path / "planted")
    (finding,) = judge_ext4(image, tmp_path).findings
    assert (finding.rule.kind, "'evilX' occurs 2 times" in finding.messages[0]) == ("directory broken", True)
    with pytest.raises(Ext4Error, match=r"'/d/evilX' occurs twice in its directory"):
        judge_image(image, SPEC, (), tmp_path)


# --- no more than it weighs ------------------------------------------------------------------------------------------


def packed(root: Path, image: Path, size: str) -> Path:
    samples.run("mke2fs", "-q", "-t", "ext4", "-d", root, image, size)
    return image


def test_a_secret_behind_a_hole_is_found(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "usr").mkdir(parents=True)
    with (root / "sparse").open("wb") as stream:
        stream.seek(10**12)
        stream.write(TOKEN.encode())
    found = judge_image(packed(root, tmp_path / "image", "8M"), SPEC, (), tmp_path)
    (problem,) = found["secret.content"]
    assert f"/sparse: GitHub token at byte {10**12}" in problem


def test_many_names_of_one_file_are_read_once(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "usr").mkdir(parents=True)
    (root / "file").write_bytes(TOKEN.encode() + bytes(range(256)) * (16 << 10))
    for number in range(20_000):
        (root / f"name{number}").hardlink_to(root / "file")
    found = judge_image(packed(root, tmp_path / "image", "16M"), SPEC, (), tmp_path)
    assert len(found["secret.content"]) == 1


def test_too_deeply_nested_directories_are_rejected(tmp_path: Path) -> None:
    image = tmp_path / "e.img"
    ext4_image(image, "-N 8192 -I 128", "mkdir usr\n" + "mkdir x\ncd x\n" * 2500)
    with pytest.raises(Ext4Error, match="a path longer"):
        judge_image(image, SPEC, (), tmp_path)
    assert judge_ext4(image, tmp_path).sound


def test_more_secrets_than_anybody_reads_are_cut(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "usr").mkdir(parents=True)
    (root / "tokens").write_text(f"{TOKEN}\n" * 50_000)
    found = judge_image(packed(root, tmp_path / "image", "16M"), SPEC, (), tmp_path)
    assert 0 < len(found["secret.content"]) < 50_000
