"""Serves the memory of a restored VM page by page, when the guest first touches it (userfaultfd(2)).

Firecracker connects to a socket and sends the descriptor of its userfaultfd with a list of regions
(Firecracker: docs/snapshotting/handling-page-faults-on-snapshot-resume.md).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import select
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hornet.errors import VMError
from hornet.foreign_file import ForeignFileError, parse_json

# linux/userfaultfd.h
UFFDIO_COPY, UFFDIO_ZEROPAGE, UFFDIO_WAKE = 0xC028AA03, 0xC020AA04, 0x8010AA02
EVENT_PAGEFAULT, EVENT_REMOVE = 0x12, 0x15
# struct uffd_msg: the event, then flags and address of a fault, or start and end of a removed range.
MESSAGE = struct.Struct("=B7xQQ8x")
MAX_REGIONS_BYTES = 64 << 10
REGIONS_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Region:
    """A part of guest memory: its address in Firecracker, its size, its offset in the memory file, all in bytes."""

    address: int
    size: int
    offset: int
    page_size: int


class PageFaultServer:
    """Serves one VM from a memory file, on a thread of its own, until the VM ends or close() is called.

    on_problem: called with the reason if it gives up. Its guest then waits for ever for the next page.
    """

    def __init__(self, directory: Path, name: str, memory: BinaryIO, on_problem: Callable[[str], object]) -> None:
        self._on_problem = on_problem
        self._memory = mmap.mmap(memory.fileno(), 0, access=mmap.ACCESS_COPY)
        self._source = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        self._removed: set[int] = set()
        self._closed = False
        self._stop_fd = os.eventfd(0)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # Through a descriptor, because the path of a Unix socket may have at most 107 bytes.
        directory_fd = os.open(directory, os.O_PATH | os.O_DIRECTORY)
        try:
            self._listener.bind(f"/proc/self/fd/{directory_fd}/{name}")
        finally:
            os.close(directory_fd)
        self._listener.listen(1)
        self._thread = threading.Thread(target=self._serve, name="page-faults", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread. Call it when the VM has ended."""
        self._closed = True
        os.eventfd_write(self._stop_fd, 1)
        self._thread.join()
        self._listener.close()
        os.close(self._stop_fd)

    def _serve(self) -> None:
        try:
            ready, _, _ = select.select([self._listener.fileno(), self._stop_fd], [], [])
            if self._stop_fd in ready:
                return
            connection, _ = self._listener.accept()
            connection.settimeout(REGIONS_TIMEOUT_S)
            # Kept open: Firecracker sees its end as the end of the server.
            with connection:
                text, fds, _, _ = socket.recv_fds(connection, MAX_REGIONS_BYTES, 1)
                if not fds:
                    raise VMError("Firecracker sent no userfaultfd")
                with os.fdopen(fds[0], "rb", buffering=0) as faults:
                    self._serve_faults(faults.fileno(), parse_regions(text, len(self._memory)))
        except (OSError, VMError) as error:
            if not self._closed:
                self._on_problem(str(error))

    def _serve_faults(self, faults_fd: int, regions: list[Region]) -> None:
        while True:
            ready, _, _ = select.select([faults_fd, self._stop_fd], [], [])
            if self._stop_fd in ready:
                return
            try:
                message = os.read(faults_fd, 32)
            except BlockingIOError:
                continue
            if len(message) < MESSAGE.size:
                return
            event, first, second = MESSAGE.unpack(message)
            if event == EVENT_PAGEFAULT:
                self._serve_page(faults_fd, regions, second)
            elif event == EVENT_REMOVE:
                self._removed.update(range(first, second, mmap.PAGESIZE))

    def _serve_page(self, faults_fd: int, regions: list[Region], address: int) -> None:
        region = next((each for each in regions if each.address <= address < each.address + each.size), None)
        if region is None:
            raise VMError(f"Firecracker faulted at {address:#x}, outside its guest's memory")
        page = address - (address - region.address) % region.page_size
        source = self._source + region.offset + page - region.address
        try:
            if page in self._removed:
                fcntl.ioctl(faults_fd, UFFDIO_ZEROPAGE, bytearray(struct.pack("=QQQq", page, region.page_size, 0, 0)))
            else:
                copy = struct.pack("=QQQQq", page, source, region.page_size, 0, 0)
                fcntl.ioctl(faults_fd, UFFDIO_COPY, bytearray(copy))
        except OSError as error:
            if error.errno == errno.EEXIST:  # another thread of Firecracker needed it too
                fcntl.ioctl(faults_fd, UFFDIO_WAKE, struct.pack("=QQ", page, region.page_size))
            elif error.errno == errno.ESRCH:  # Firecracker is ending
                return
            elif error.errno != errno.EAGAIN:  # its memory is changing: the fault comes again
                raise


def parse_regions(text: bytes, file_bytes: int) -> list[Region]:
    """The regions that Firecracker sends. Raises VMError if they are malformed or not in the memory file."""
    try:
        regions = [
            Region(
                int(each["base_host_virt_addr"]),
                int(each["size"]),
                int(each["offset"]),
                # Up to 1.11 in bytes too, whatever its name says.
                int(each.get("page_size") or each["page_size_kib"]),
            )
            for each in parse_json(text)
        ]
    except (ForeignFileError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise VMError(f"Firecracker described its memory by {text[:80]!r}, expected a list of regions") from error
    for region in regions:
        sizes = (region.size, region.page_size)
        if region.offset < 0 or region.address < 0 or min(sizes) <= 0 or region.offset + region.size > file_bytes:
            raise VMError(
                f"Firecracker described memory that is not in the memory file of {file_bytes} bytes: {region}"
            )
    return regions
