"""Whether QEMU's TCG emulates this machine's processor: then its KVM is emulated too, as in the lab (docs/lab.md).

The processor itself says so: CPUID leaf 0x40000000 holds the hypervisor's signature. No file under /proc or /sys does.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
from functools import cache

# What QEMU's TCG answers; KVM answers "KVMKVMKVM".
TCG_SIGNATURE = b"TCGTCGTCGTCG"
# push rbx; mov eax, 0x40000000; cpuid; mov [rdi], ebx; mov [rdi+4], ecx; mov [rdi+8], edx; pop rbx; ret
READ_SIGNATURE = bytes.fromhex("53 b8 00000040 0fa2 891f 894f04 895708 5b c3")

_patience = 1.0


@cache
def cpu_is_emulated() -> bool:
    """Whether the processor is QEMU's TCG. False if the kernel forbids to ask."""
    return hypervisor_signature() == TCG_SIGNATURE


def set_patience(factor: float) -> None:
    """Say how many times as long patient_s() waits, on an emulated processor: lab.patience of the spec."""
    global _patience
    _patience = factor


def patient_s(timeout_s: float) -> float:
    """How long to wait for a guest on this machine, of what is enough on a real processor; in seconds."""
    return timeout_s * _patience if cpu_is_emulated() else timeout_s


def hypervisor_signature() -> bytes:
    """The 12 bytes of the hypervisor's signature. Without a hypervisor they mean nothing; empty if unreadable."""
    if platform.machine() != "x86_64":
        return b""
    try:
        code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except OSError:
        return b""
    code.write(READ_SIGNATURE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(code))
    signature = ctypes.create_string_buffer(len(TCG_SIGNATURE))
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address)(ctypes.addressof(signature))
    return signature.raw
