"""A HORNET_HOME whose name means something to make, a loader, a linker or a shell: builds work in it all the same.

The restore of a snapshot from such a home is in tests/guest/test_vm_commands.py.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import builders.apt.packages
from builders.apt.packages import CONTENTS_FILE, extract_packages, parse_contents
from builders.kernel import build_kernel
from builders.kernel.source import find_source
from builders.rootfs.stub_libraries import CURL, CURL_GNUTLS, LIBRARIES, replace_libraries
from hornet.formats.ext4 import checker
from hornet.host.own_loader import own_loader
from hornet.host.proc import run
from hornet.host.progress import Progress
from hornet.host.workspace import Workspace
from hornet.spec.model import load_spec
from tests.support.kernel_samples import write_tree

SPEC = load_spec()
QUIET = Progress(io.StringIO())
NAMES = ["my home", "a:b", "a,b", "it's $HOME", 'a "b" %s\\']
TIMEOUT_S = 60
NODE = "ONE_1.0"
# Loads the first library, then the second one, and prints what the second one's function of that version returns.
CALL = """
import ctypes, sys
_, curl, stub, version = sys.argv
ctypes.CDLL(curl)
find = ctypes.CDLL(None).dlvsym
find.restype, find.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p]
print(ctypes.CFUNCTYPE(ctypes.c_int)(find(ctypes.CDLL(stub)._handle, b"one", version.encode()))())
"""
odd_names = pytest.mark.parametrize("name", NAMES)


@odd_names
def test_kernel_is_the_same_in_an_odd_home(name: str, tmp_path: Path) -> None:
    """The miniature tree's Makefile refuses spaces and colons, as Linux's does."""
    tree = write_tree(tmp_path / "tree")
    plain = build_kernel(SPEC, Workspace(tmp_path / "plain"), QUIET, source=str(tree))
    odd = build_kernel(SPEC, Workspace(tmp_path / name), QUIET, source=str(tree))
    assert odd.vmlinux.parent.is_relative_to(tmp_path / name)
    assert odd.vmlinux.read_bytes() == plain.vmlinux.read_bytes()
    assert not list((tmp_path / name / "build/kernel").glob("*.tmp-*")), "nothing is left of the work directory"


def test_makefile_of_the_miniature_tree_refuses_as_linux_does(tmp_path: Path) -> None:
    for name, code in {"plain": 0, "my home": 2, "a:b": 2}.items():
        tree = write_tree(tmp_path / name)
        done = subprocess.run(["make", "-s", "mrproper"], cwd=tree, check=False, timeout=TIMEOUT_S, capture_output=True)
        assert done.returncode == code, done.stderr


@odd_names
def test_local_kernel_tree_may_have_an_odd_name(name: str, tmp_path: Path) -> None:
    tree = write_tree(tmp_path / name)
    source = find_source(SPEC, Workspace(tmp_path / "home"), QUIET, str(tree))
    (tmp_path / name / "home").mkdir()
    source.unpack(tmp_path / name / "home", tmp_path / "log")
    assert (tmp_path / name / "home/main.c").exists()


@odd_names
def test_program_of_a_toolbox_uses_the_libraries_of_its_tree(name: str, tmp_path: Path) -> None:
    tree = unpacked_distribution(tmp_path / name)
    words = own_loader(tree, tree / "usr/bin/true")
    assert subprocess.run(words, check=True, timeout=TIMEOUT_S).returncode == 0
    listed = run([*words[:-1], "--list", words[-1]], timeout_s=TIMEOUT_S).output
    assert f"{tree}/usr/bin/../lib/x86_64-linux-gnu/libc.so.6" in listed


@odd_names
def test_e2fsck_of_a_toolbox_in_an_odd_home_is_found(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HORNET_HOME", str(tmp_path / name))
    artifact = tmp_path / name / "build/toolbox/0123456789abcdef"
    tree = unpacked_distribution(artifact / "tree", program="/usr/sbin/e2fsck")
    (artifact / "versions.json").write_text(json.dumps({"e2fsprogs": "99.1-1"}))
    found = checker.newest_e2fsck()
    assert (found.version, found.tree) == ((99, 1), tree)
    said = run([*found.command, "-V"], timeout_s=TIMEOUT_S).output
    assert "Using EXT2FS Library" in said


@odd_names
def test_stub_library_is_linked_in_an_odd_home(name: str, tmp_path: Path) -> None:
    """The linker gets the versions of the symbols as a file, and gcc splits the linker's words at commas."""
    work = tmp_path / name
    libraries = work / "tree" / LIBRARIES
    libraries.mkdir(parents=True)
    compile_library(libraries / CURL, tmp_path, node="TWO_1.0", value=2)
    compile_library(libraries / CURL_GNUTLS, tmp_path)
    before = (libraries / CURL_GNUTLS).read_bytes()
    replace_libraries(work / "tree", work, [])
    assert (libraries / CURL_GNUTLS).read_bytes() != before
    symbols = run(["nm", "-D", "--with-symbol-versions", libraries / CURL_GNUTLS], timeout_s=TIMEOUT_S).output
    assert f"one@{NODE}" in symbols
    # A function that the linker bound to the stub itself would jump to itself for ever.
    words = [sys.executable, "-c", CALL, str(libraries / CURL), str(libraries / CURL_GNUTLS), NODE]
    assert run(words, timeout_s=TIMEOUT_S).output == "2\n"


@odd_names
def test_mmdebstrap_lists_packages_into_an_odd_home(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its hooks are shell text. They run here as mmdebstrap runs them, without the download."""
    work = tmp_path / name
    archives = work / "tree/var/cache/apt/archives"
    archives.mkdir(parents=True)
    deb_package(tmp_path / "deb", archives / "sample_1.0_amd64.deb")

    def run_hooks(argv: Sequence[str], **_: object) -> None:
        for hook in filter(re.compile("--extract-hook=").match, argv):
            subprocess.run(["sh", "-c", hook.partition("=")[2], "sh", work / "tree"], check=True, timeout=TIMEOUT_S)

    monkeypatch.setattr(builders.apt.packages, "run", run_hooks)
    monkeypatch.setattr(builders.apt.packages, "apt_sources", lambda debian: [])
    versions = extract_packages(SPEC.rootfs.debian, ["sample"], work / "tree", work, QUIET)
    assert versions == {"sample": "1.0"}
    [package] = parse_contents((work / CONTENTS_FILE).read_text())
    assert package.name == "sample"


def compile_library(library: Path, scratch: Path, node: str = NODE, value: int = 1) -> None:
    """A shared library with one function, which has a version."""
    (scratch / "map").write_text(f"{node} {{ global: one; }};\n")
    (scratch / "one.c").write_text(f"int one(void) {{ return {value}; }}\n")
    flags = ["-shared", "-nostdlib", f"-Wl,-soname,{library.name}", f"-Wl,--version-script={scratch}/map"]
    subprocess.run(["gcc", *flags, "-o", library, scratch / "one.c"], check=True, timeout=TIMEOUT_S)


def deb_package(tree: Path, package: Path) -> None:
    """An empty Debian package."""
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN").chmod(0o755)  # regardless of the umask: dpkg-deb demands it
    fields = {
        "Package": "sample",
        "Version": "1.0",
        "Architecture": "amd64",
        "Maintainer": "nobody",
        "Description": "-",
    }
    (tree / "DEBIAN/control").write_text("".join(f"{key}: {value}\n" for key, value in fields.items()))
    run(["dpkg-deb", "--build", "--root-owner-group", tree, package], timeout_s=TIMEOUT_S)


def unpacked_distribution(tree: Path, program: str = "/usr/bin/true") -> Path:
    """A program of this host with its loader and its libraries, placed as Debian's packages do."""
    libraries = tree / "usr/lib/x86_64-linux-gnu"
    libraries.mkdir(parents=True)
    needed = [word for word in run(["ldd", program], timeout_s=TIMEOUT_S).output.split() if word.startswith("/")]
    for path in map(Path, needed):
        shutil.copy(path, libraries / path.name)
    target = tree / program.removeprefix("/")
    target.parent.mkdir(parents=True)
    shutil.copy(program, target)
    return tree
