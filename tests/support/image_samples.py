"""A tiny image tree that every check accepts, and ways to break it, each with the checks that must then fail."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hornet.formats.overlay_tree import ID_IN_USR, ID_OF_CHANGES, USR_FILE
from hornet.host.proc import run
from hornet.host.umask import build_umask
from hornet.spec.model import Spec


@dataclass(frozen=True)
class Mutation:
    """One way to break an image: what is done to its root directory, and which checks fail afterwards."""

    name: str
    apply: Callable[[Path], None]
    fails: frozenset[str]


@build_umask()
def make_good_root(root: Path) -> None:
    """Directories, links, a script, a shared library and one that needs it, an account file, an empty apt cache."""
    for name in (
        "usr/bin",
        "usr/lib",
        "etc/ssh",
        "root",
        "opt",
        "tmp",
        "var/cache/apt",
        "var/lib/dpkg",
        "usr/share/doc",
    ):
        (root / name).mkdir(parents=True, exist_ok=True)
    root.chmod(0o755)
    (root / "bin").symlink_to("usr/bin")
    (root / "etc/absolute").symlink_to("/usr/bin")
    write(root, "usr/bin/sh", "no script, no ELF", 0o755)
    write(root, "usr/bin/script", "#!/bin/sh -e\ntrue\n", 0o755)
    write(root, "usr/bin/by-env", "#!/usr/bin/env -S sh -e\ntrue\n", 0o755)
    write(root, "usr/bin/env", "no script, no ELF", 0o755)
    write(root, "etc/shadow", "root:*:20000:0:99999:7:::\nsshd:!:20000::::::\n")
    write(root, "var/lib/dpkg/status", "Package: bash\nStatus: install ok installed\n\n")
    write(root, "opt/text-about-keys", "-----BEGIN PRIVATE KEY-----\nis how a key begins; ghp_ is how a token does.\n")
    libraries = root / "usr/lib"
    flags = ["gcc", "-shared", "-nostdlib", "-Wl,--build-id=none"]
    write(root, "opt/hornetos/healthcheck.sh", "", 0o755)
    run([*flags, "-Wl,-soname,libgood.so.1", "-xc", "/dev/null", "-o", libraries / "libgood.so.1"], timeout_s=60)
    user: list[str | Path] = ["-Wl,--no-as-needed", "-xc", "/dev/null", "-xnone", libraries / "libgood.so.1"]
    run([*flags, *user, "-o", libraries / "libuser.so.1"], timeout_s=60)


@build_umask()
def write(root: Path, name: str, content: str | bytes, mode: int = 0o644) -> None:
    """A file in the tree, with its directories."""
    path = root / name.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)


def example(glob: str) -> str:
    """A name that a glob matches."""
    return re.sub(r"\[(.)[^]]*\]", r"\1", glob).replace("*", "x").replace("?", "x")


def image_mutations(spec: Spec) -> Iterator[Mutation]:
    """Every pattern of every image check, broken once."""
    yield from _removal_mutations(spec)
    yield from _file_mutations()
    yield from _access_mutations()
    yield from _dangling_mutations()
    yield from _secret_mutations(spec)
    yield from _usr_mutations()


def _removal_mutations(spec: Spec) -> Iterator[Mutation]:
    for name, removal in spec.removals.items():
        for glob in removal.paths:
            yield _mutation(f"{name} at {glob}", _directory(example(glob)), f"removal.{name}.path")
        for glob in removal.packages:
            status = f"Package: {example(glob)}\nStatus: install ok installed\n"
            yield _mutation(f"dpkg has {glob}", _file("var/lib/dpkg/status", status), f"removal.{name}.package")
            installed = f"C:Q1\nP:{example(glob)}\nV:1\n"
            yield _mutation(f"apk has {glob}", _file("lib/apk/db/installed", installed), f"removal.{name}.package")
        for glob in removal.names:
            yield _mutation(f"a file {glob}", _file(f"opt/{example(glob)}", "text"), f"removal.{name}.file_type")
        for glob in removal.interpreters:
            script = f"#!/usr/bin/env {example(glob)}\n"
            yield _mutation(f"a script for {glob}", _file("opt/script", script), f"removal.{name}.file_type")
        for magic in removal.magics:
            content = bytes.fromhex(magic) + bytes(20)
            yield _mutation(f"a file of magic {magic}", _file("opt/x", content), f"removal.{name}.file_type")


def _file_mutations() -> Iterator[Mutation]:
    script = "opt/hornetos/healthcheck.sh"
    yield _mutation("no health check", _remove(script), "file.healthcheck")
    yield _mutation("a health check that can't be run", _file(script, "", 0o644), "file.healthcheck")


def _access_mutations() -> Iterator[Mutation]:
    for name in ("", "usr", "usr/bin"):
        yield _mutation(f"/{name} built with umask 077", _mode(name, 0o700), "access.crossing")


def _dangling_mutations() -> Iterator[Mutation]:
    for line in ("#!/usr/bin/gone", "#! /usr/bin/gone -x", "#!/usr/bin/env gone", "#!/usr/bin/env -S gone -x"):
        yield _mutation(line, _file("opt/script", f"{line}\n", 0o755), "dangling.interpreter")
    yield _mutation("no library", _remove("usr/lib/libgood.so.1"), "dangling.library")
    yield _mutation("a damaged program", _file("usr/bin/cut", b"\x7fELF" + bytes(12), 0o755), "dangling.library")


def _secret_mutations(spec: Spec) -> Iterator[Mutation]:
    for glob in spec.secrets.forbidden_paths:
        yield _mutation(f"a file {glob}", _file(example(glob), "x"), "secret.file")
    for name, kind in spec.secrets.patterns.items():
        yield _mutation(f"a baked {name}", _file("opt/config", f"x = {kind.secret}\n"), "secret.content")
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIexample somebody\n"
    yield _mutation("a baked authorized key", _file("root/.ssh/authorized_keys", key), "secret.key")
    yield _mutation("a password", _file("etc/shadow", "root:$6$salt$hash:20000::::::\n"), "secret.password")
    yield _mutation("no password", _file("etc/shadow", "root::20000::::::\n"), "secret.password")


def _usr_mutations() -> Iterator[Mutation]:
    """A directory stands for the compressed /usr, whose identity a OverlayTree shows below its path."""
    in_usr = f"{USR_FILE}{ID_IN_USR}"

    def other(root: Path) -> None:
        write(root, in_usr, "one\n")
        write(root, ID_OF_CHANGES, "other\n")

    yield _mutation("changes of another /usr", other, "usr.image")
    yield _mutation("changes of an unknown /usr", _file(in_usr, "one\n"), "usr.image")
    yield _mutation("a /usr of unknown identity", _directory(USR_FILE), "usr.image")


def _mutation(name: str, apply: Callable[[Path], None], *fails: str) -> Mutation:
    return Mutation(name, apply, frozenset(fails))


def _file(name: str, content: str | bytes, mode: int = 0o644) -> Callable[[Path], None]:
    return lambda root: write(root, name, content, mode)


def _directory(name: str) -> Callable[[Path], None]:
    @build_umask()
    def make(root: Path) -> None:
        (root / name.lstrip("/")).mkdir(parents=True)

    return make


def _mode(name: str, mode: int) -> Callable[[Path], None]:
    return lambda root: (root / name).chmod(mode)


def _remove(name: str) -> Callable[[Path], None]:
    return lambda root: (root / name).unlink()
