"""Taps: a network card whose other end is a file descriptor (Linux kernel: Documentation/networking/tuntap)."""

from __future__ import annotations

import fcntl
import os
import struct

from hornet.errors import NetworkError

TUN = "/dev/net/tun"
TUNSETIFF = 0x400454CA
TUNSETPERSIST = 0x400454CB
TUNSETOWNER = 0x400454CC
IFF_TAP = 0x0002
IFF_NO_PI = 0x1000
IFF_VNET_HDR = 0x4000


def open_tap(name: str, *, persist: bool = False, owner: int | None = None) -> int:
    """Open the tap `name` in the calling thread's namespace, and create it if needed; returns the descriptor.

    persist=True lets it stay when the descriptor is closed. owner: the user who may then open it, beside root. Raises
    NetworkError.
    """
    try:
        fd = os.open(TUN, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise NetworkError(f"{TUN}: {error.strerror}", "load the kernel module: modprobe tun") from error
    try:
        # Packets have a virtio header, so guest and host need not compute checksums.
        request = struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)
        fcntl.ioctl(fd, TUNSETIFF, request)
        if persist:
            fcntl.ioctl(fd, TUNSETPERSIST, 1)
        if owner is not None:
            fcntl.ioctl(fd, TUNSETOWNER, owner)
    except OSError as error:
        os.close(fd)
        raise NetworkError(f"tap {name}: {error.strerror}", "is it in use by another VMM?") from error
    return fd
