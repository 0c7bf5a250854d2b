"""Files from elsewhere are named, with the way to what is judged; a packed kernel does not pass for a vmlinux."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hornet.formats.ext4.superblock import OtherFormatError
from hornet.formats.ext4.verdict import judge_ext4
from hornet.formats.kconfig import KconfigError, read_config, require_whole
from hornet.formats.kernel_file import KernelFileError, require_vmlinux
from hornet.procedures.judge_image import judge_image
from hornet.spec.model import load_spec
from hornet_cli.app import app
from tests.support.kernel_samples import kernel_with, pack_bzimage

SPEC = load_spec()


def at(offset: int, magic: bytes) -> bytes:
    return (bytes(offset) + magic).ljust(200_000, b"\0")


MBR = bytes(446) + bytes([0x80, 0, 2, 0, 0x83]) + bytes(59) + b"\x55\xaa"
IMAGES = {
    "GPT": (at(512, b"EFI PART"), "GPT", "fdisk -l"),
    "MBR": (at(0, MBR), "MBR", "fdisk -l"),
    "qcow2": (at(0, b"QFI\xfb\0\0\0\3"), "qcow2", "qemu-img convert"),
    "vmdk": (at(0, b"KDMV"), "vmdk", "qemu-img convert"),
    "squashfs": (at(0, b"hsqs"), "squashfs", "unsquashfs"),
    "erofs": (at(1024, b"\xe2\xe1\xf5\xe0"), "erofs", "fsck.erofs"),
    "ISO": (at(32769, b"CD001"), "ISO 9660", "bsdtar"),
    "gzip": (gzip.compress(bytes(9000)), "gzip", "gunzip"),
    "xz": (lzma.compress(bytes(9000)), "xz", "xz --decompress"),
    "zstd": (at(0, b"\x28\xb5\x2f\xfd"), "zstd", "zstd --decompress"),
    "tar": (at(257, b"ustar"), "tar", "tar -C"),
    "initramfs": (at(0, b"070701"), "cpio", "cpio -i"),
    "LUKS": (at(0, b"LUKS\xba\xbe"), "LUKS", "cryptsetup"),
    "btrfs": (at(0x10040, b"_BHRfS_M"), "btrfs", "mount it"),
    "XFS": (at(0, b"XFSB"), "XFS", "mount it"),
    "EFI partition": (at(82, b"FAT32   "), "FAT", "root file system"),
    "a kernel": (at(0, b"\x7fELF"), "ELF", "--kernel"),
    "Android": (at(0, b"\x3a\xff\x26\xed"), "Android", "simg2img"),
}


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_of_another_format_is_named_with_the_way_out(name: str, tmp_path: Path) -> None:
    content, what, remedy = IMAGES[name]
    image = tmp_path / "an image"
    image.write_bytes(content)
    judges: list[Callable[[], object]] = [
        lambda: judge_ext4(image, tmp_path),
        lambda: judge_image(image, SPEC, (), tmp_path),
    ]
    for judge in judges:
        with pytest.raises(OtherFormatError, match=what) as caught:
            judge()
        assert remedy in caught.value.hint


CONFIG = "# Linux/x86 6.1.5 Kernel Configuration\nCONFIG_X86=y\nCONFIG_NET=y\n"


def test_a_vmlinux_is_a_kernel_and_nothing_around_it_is(tmp_path: Path) -> None:
    kernel = tmp_path / "vmlinux"
    elf = b"\x7fELF\2\1\1" + bytes(9) + b"\2\0\x3e\0" + bytes(600)
    kernel.write_bytes(elf)
    assert require_vmlinux(kernel) == kernel
    for content, what in (
        (pack_bzimage(kernel_with(CONFIG), gzip.compress), "a bzImage"),
        (gzip.compress(elf), "gzip"),
        (lzma.compress(elf), "xz"),
        (b"\x28\xb5\x2f\xfd" + elf, "zstd"),
        (elf.replace(b"\x3e\0", b"\xb7\0"), "machine 183"),
        (b"", "nothing"),
    ):
        kernel.write_bytes(content)
        with pytest.raises(KernelFileError, match=what) as caught:
            require_vmlinux(kernel)
        assert caught.value.hint


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + CONFIG.encode(),
        CONFIG.replace("\n", "\r\n").encode(),
        lzma.compress(CONFIG.encode()),
        gzip.compress(kernel_with(CONFIG)),
        lzma.compress(kernel_with(CONFIG)),
        bz2.compress(kernel_with(CONFIG)),
    ],
    ids=["byte order mark", "CR LF", "config.xz", "vmlinux.gz", "vmlinux.xz", "vmlinux.bz2"],
)
def test_a_configuration_is_read_from_any_wrapping(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    config = read_config(file)
    assert (config["NET"], config.version) == ("y", "6.1.5")


@pytest.mark.parametrize(
    ("content", "what"),
    [(CONFIG.encode("utf-16"), "UTF-16"), (b"\x28\xb5\x2f\xfd" + bytes(50), "zstd"), (b"\x04\x22\x4d\x18", "lz4")],
    ids=["UTF-16", "zstd", "lz4"],
)
def test_a_configuration_that_cannot_be_read_is_named(content: bytes, what: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    with pytest.raises(KconfigError, match=what):
        read_config(file)


def test_a_fragment_is_not_judged_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "fragment.config"
    file.write_text("CONFIG_VIRTIO=y\nCONFIG_VIRTIO_BLK=y\n")
    with pytest.raises(KconfigError, match="a fragment: 2 symbols"):
        require_whole(read_config(file), file)
    result = CliRunner().invoke(app, ["kconfig", str(file)])
    assert isinstance(result.exception, KconfigError)
