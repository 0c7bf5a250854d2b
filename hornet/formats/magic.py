"""What a file is, by its first bytes, and how to get from it what the suite judges. Nothing of it is parsed.

Sources: the magic numbers that the kernel, QEMU and file(1) know.
"""

from __future__ import annotations

from dataclasses import dataclass

# The last magic number is that of btrfs, at 64 KiB.
HEAD_BYTES = (64 << 10) + 128


@dataclass(frozen=True)
class Format:
    """A format. what: as in a sentence; remedy: how to get a file system, or a kernel, out of it."""

    what: str
    remedy: str


_PARTITION = (
    "`fdisk -l FILE` shows start and size of its partitions in sectors; take that of the root file system: "
    "dd if=FILE of=rootfs.ext4 bs=512 skip=START count=SECTORS conv=sparse"
)
_CONVERT = (
    "convert it: qemu-img convert -O raw FILE disk.raw. It may hold a partitioned disk: then take its root partition"
)
_REPACK = "mkfs.ext4 -d DIRECTORY rootfs.ext4 SIZE"
_OTHER_FILE_SYSTEM = f"mount it read-only, copy its files (cp -a), and pack them: {_REPACK}"
_ELF = "name the ext4 file; a kernel is given with --kernel"


def _unpack(command: str) -> str:
    return f"unpack it first: {command}"


GZIP, XZ, ZSTD, BZIP2 = b"\x1f\x8b", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"BZh"
PACKED = {
    GZIP: Format("packed with gzip", _unpack("gunzip --keep --stdout FILE > UNPACKED")),
    XZ: Format("packed with xz", _unpack("xz --decompress --stdout FILE > UNPACKED")),
    ZSTD: Format("packed with zstd", _unpack("zstd --decompress FILE -o UNPACKED")),
    BZIP2: Format("packed with bzip2", _unpack("bunzip2 --keep --stdout FILE > UNPACKED")),
    b"\x04\x22\x4d\x18": Format("packed with lz4", _unpack("lz4 -d FILE UNPACKED")),
    b"\x02\x21\x4c\x18": Format("packed with lz4", _unpack("lz4 -d FILE UNPACKED")),
    b"\x89LZO": Format("packed with lzop", _unpack("lzop -d -o UNPACKED FILE")),
    b"7z\xbc\xaf\x27\x1c": Format("a 7z archive", _unpack("7z x FILE")),
    b"PK\3\4": Format("a ZIP archive", _unpack("unzip FILE")),
}
BZIMAGE = Format(
    "a bzImage, a packed kernel with its loader",
    "get the vmlinux out of it: scripts/extract-vmlinux FILE > vmlinux, of the kernel's source (linux-headers has it)",
)
# Offset and bytes. The first that matches counts, so a disk's partitions come before its boot code.
_IMAGES: tuple[tuple[int, bytes, Format], ...] = (
    (512, b"EFI PART", Format("a disk with partitions (GPT)", _PARTITION)),
    (
        4096,
        b"EFI PART",
        Format("a disk with partitions (GPT, sectors of 4096 bytes)", _PARTITION.replace("512", "4096")),
    ),
    (32769, b"CD001", Format("an ISO 9660 image", f"bsdtar -C DIRECTORY -xf FILE, then {_REPACK}")),
    (0, b"QFI\xfb", Format("a disk of QEMU (qcow2)", _CONVERT)),
    (0, b"QED\0", Format("a disk of QEMU (qed)", _CONVERT)),
    (0, b"KDMV", Format("a disk of VMware (vmdk)", _CONVERT)),
    (0, b"# Disk DescriptorFile", Format("the description of a disk of VMware (vmdk)", _CONVERT)),
    (0, b"vhdxfile", Format("a disk of Hyper-V (vhdx)", _CONVERT)),
    (0, b"conectix", Format("a disk of Hyper-V (vhd)", _CONVERT)),
    (0x40, b"\x7f\x10\xda\xbe", Format("a disk of VirtualBox (vdi)", _CONVERT)),
    (0, b"\x3a\xff\x26\xed", Format("an Android sparse image", "simg2img FILE disk.raw")),
    (0, b"hsqs", Format("a squashfs", f"unsquashfs -d DIRECTORY FILE, then {_REPACK}")),
    (1024, b"\xe2\xe1\xf5\xe0", Format("an erofs", f"fsck.erofs --extract=DIRECTORY FILE, then {_REPACK}")),
    (0, b"XFSB", Format("an XFS", _OTHER_FILE_SYSTEM)),
    (0x10040, b"_BHRfS_M", Format("a btrfs", _OTHER_FILE_SYSTEM)),
    (1024, b"\x10\x20\xf5\xf2", Format("an f2fs", _OTHER_FILE_SYSTEM)),
    (0, b"LUKS\xba\xbe", Format("an encrypted disk (LUKS)", "cryptsetup open FILE NAME, then copy /dev/mapper/NAME")),
    (536, b"LVM2 001", Format("a physical volume of LVM", "activate it (vgchange -ay), then copy the logical volume")),
    (4086, b"SWAPSPACE2", Format("swap space", "name the root file system")),
    (82, b"FAT32   ", Format("a FAT file system", "name the root file system: this is an EFI or boot partition")),
    (54, b"FAT1", Format("a FAT file system", "name the root file system: this is an EFI or boot partition")),
    (3, b"NTFS    ", Format("an NTFS", _OTHER_FILE_SYSTEM)),
    (0, b"\x45\x3d\xcd\x28", Format("a cramfs", _OTHER_FILE_SYSTEM)),
    (0, b"07070", Format("a cpio archive (an initramfs)", f"cpio -idm -D DIRECTORY < FILE, then {_REPACK}")),
    (
        257,
        b"ustar",
        Format("a tar archive", f"judge its files: --image=tar:FILE; or tar -C DIRECTORY -xpf FILE, then {_REPACK}"),
    ),
    (0x202, b"HdrS", Format("a kernel (bzImage)", _ELF)),
    (0, b"\x7fELF", Format("a program or a kernel (ELF)", _ELF)),
    *((0, magic, form) for magic, form in PACKED.items()),
)
# A master boot record: its signature, and four entries of 16 bytes, each with the type at its byte 4.
_BOOT_SIGNATURE, _PARTITIONS, _PARTITION_BYTES = b"\x55\xaa", 446, 16


def image_format(head: bytes) -> Format | None:
    """What a file is that is not ext4; None if nothing is known. head: its first HEAD_BYTES."""
    found = next((form for offset, magic, form in _IMAGES if head[offset : offset + len(magic)] == magic), None)
    if found is None and _has_partitions(head):
        return Format("a disk with partitions (MBR)", _PARTITION)
    return found


def packed_format(head: bytes) -> Format | None:
    """How a file is packed; None if it is not, as far as known."""
    return next((form for magic, form in PACKED.items() if head.startswith(magic)), None)


def _has_partitions(head: bytes) -> bool:
    entries = [head[_PARTITIONS + _PARTITION_BYTES * number :][:_PARTITION_BYTES] for number in range(4)]
    # The first byte says whether it boots: 0x80 or 0.
    real = [entry for entry in entries if len(entry) == _PARTITION_BYTES and entry[4] and entry[0] in (0, 0x80)]
    return head[510:512] == _BOOT_SIGNATURE and bool(real)
