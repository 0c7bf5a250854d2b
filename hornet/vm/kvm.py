"""Proves KVM by use: runs a payload of a few instructions through the ioctls (Linux: Documentation/virt/kvm/api.rst).

That /dev/kvm opens proves nothing: some hosts offer one that creates a VM and can't run a Linux guest.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import signal
import struct
import sys
from pathlib import Path

from hornet.errors import CommandError
from hornet.host.proc import run
from hornet.sandbox import FIRST_USER
from hornet.sandbox.worker import give_up_rights

KVM_DEVICE = Path("/dev/kvm")
PAYLOAD_TIMEOUT_S = 5.0
# Starting Python takes 10 s on an emulated processor.
START_TIMEOUT_S = 60.0

KVM_CREATE_VM = 0xAE01
KVM_GET_VCPU_MMAP_SIZE = 0xAE04
KVM_CREATE_VCPU = 0xAE41
KVM_SET_USER_MEMORY_REGION = 0x4020AE46
KVM_RUN = 0xAE80
KVM_GET_SREGS, KVM_SET_SREGS = 0x8138AE83, 0x4138AE84
KVM_SET_REGS = 0x4090AE82
KVM_EXIT_IO, KVM_EXIT_HLT = 2, 5
SREGS_BYTES, REGS_WORDS = 312, 18
# Offsets in struct kvm_sregs: the code segment comes first, base (8 bytes) before selector (at 12).
CS_BASE, CS_SELECTOR = 0, 12
REGS_RIP, REGS_RFLAGS = 16, 17
EXIT_REASON_OFFSET, IO_DATA_OFFSET_OFFSET = 8, 40

LOAD_ADDRESS = 0x1000
ANSWER = 0x42
# mov al, ANSWER; out 0xe9, al; hlt
PAYLOAD = bytes([0xB0, ANSWER, 0xE6, 0xE9, 0xF4])


def payload_problem() -> str | None:
    """The reason why the payload does not run here; None if it does.

    It runs in a separate process. SIGALRM ends it PAYLOAD_TIMEOUT_S after it began, so a KVM that hangs blocks nothing.
    """
    if not KVM_DEVICE.exists():
        return f"there is no {KVM_DEVICE}"
    argv = [sys.executable, "-m", "hornet.vm.kvm"]
    try:
        done = run(argv, timeout_s=START_TIMEOUT_S, cwd=Path(__file__).parents[2], ok_codes=range(-64, 256))
    except CommandError as error:
        return error.message.splitlines()[0]
    if done.exit_code == -signal.SIGALRM:
        return f"KVM did not finish a payload of {len(PAYLOAD)} bytes within {PAYLOAD_TIMEOUT_S:g} s"
    return None if done.exit_code == 0 else (done.output.strip().splitlines() or ["the payload crashed"])[-1]


def run_payload(device: int, payload: bytes = PAYLOAD) -> tuple[int, bool]:
    """Run a real-mode payload; returns (the byte it wrote to a port, whether it then halted). Raises OSError.

    device: /dev/kvm, opened for reading and writing.
    """
    vm = fcntl.ioctl(device, KVM_CREATE_VM, 0)
    memory = mmap.mmap(-1, mmap.PAGESIZE)
    memory.write(payload)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    fcntl.ioctl(vm, KVM_SET_USER_MEMORY_REGION, struct.pack("=IIQQQ", 0, 0, LOAD_ADDRESS, mmap.PAGESIZE, address))
    vcpu = fcntl.ioctl(vm, KVM_CREATE_VCPU, 0)
    shared = mmap.mmap(vcpu, fcntl.ioctl(device, KVM_GET_VCPU_MMAP_SIZE, 0))
    sregs = bytearray(SREGS_BYTES)
    fcntl.ioctl(vcpu, KVM_GET_SREGS, sregs)
    struct.pack_into("=Q", sregs, CS_BASE, 0)
    struct.pack_into("=H", sregs, CS_SELECTOR, 0)
    fcntl.ioctl(vcpu, KVM_SET_SREGS, sregs)
    regs = [0] * REGS_WORDS
    regs[REGS_RIP], regs[REGS_RFLAGS] = LOAD_ADDRESS, 2
    fcntl.ioctl(vcpu, KVM_SET_REGS, struct.pack("=18Q", *regs))
    written = _run_until(vcpu, shared, KVM_EXIT_IO)
    (offset,) = struct.unpack_from("=Q", shared, IO_DATA_OFFSET_OFFSET)
    byte = shared[offset] if written else -1
    return byte, _run_until(vcpu, shared, KVM_EXIT_HLT)


def _run_until(vcpu: int, shared: mmap.mmap, reason: int) -> bool:
    fcntl.ioctl(vcpu, KVM_RUN, 0)
    (found,) = struct.unpack_from("=I", shared, EXIT_REASON_OFFSET)
    return bool(found == reason)


def main() -> None:
    """Exit code 0 if the payload ran; else one line that says why not."""
    try:
        device = os.open(KVM_DEVICE, os.O_RDWR | os.O_CLOEXEC)
        give_up_rights(FIRST_USER if os.geteuid() == 0 else None)
        signal.setitimer(signal.ITIMER_REAL, PAYLOAD_TIMEOUT_S)
        byte, halted = run_payload(device)
    except OSError as error:
        sys.exit(f"KVM refuses the payload: {error.strerror or error}")
    if byte != ANSWER or not halted:
        sys.exit(f"the payload wrote {byte:#x} (expected {ANSWER:#x}) and {'halted' if halted else 'did not halt'}")


if __name__ == "__main__":
    main()
