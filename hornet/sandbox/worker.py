"""The confined process: reads a request, gives up its rights, calls the function, prints the answer as JSON.

hornet.sandbox starts it in bubblewrap's namespaces. Modules are imported first, because possibly only their owner can
read them. No foreign byte is read before the rights are gone.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import resource
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hornet.errors import HornetError, SandboxError
from hornet.sandbox.serialized_error import SerializedError

# linux/prctl.h
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
CAPABILITIES = 64
# linux/capability.h
CAPABILITY_VERSION_3 = 0x20080522


def main() -> None:
    """Read one request from standard input and write one answer to standard output."""
    request = json.load(sys.stdin)
    module, name = request["function"]
    function = getattr(importlib.import_module(module), name)
    give_up_rights(request["user"])
    _limit(request["limits"])
    try:
        answer = {"result": function(**request["arguments"], **request["descriptors"])}
    except HornetError as error:
        answer = {"error": SerializedError.of(error)}
    except MemoryError:
        answer = _could_not(f"it takes more than {request['limits']['memory_bytes'] >> 20} MiB of memory")
    except Exception as error:
        answer = _could_not(f"{type(error).__name__}: {error}")
    json.dump(answer, sys.stdout)


def _could_not(why: str) -> dict[str, Any]:
    return {"error": SerializedError.of(SandboxError(f"cannot be read: {why}", "it cannot be judged"))}


def give_up_rights(user: int | None) -> None:
    """Become a user that owns nothing, irrevocably without capabilities. None: the process is not root."""
    libc = ctypes.CDLL(None, use_errno=True)
    if user is not None:
        for capability in range(CAPABILITIES):
            # EINVAL beyond the last capability of this kernel.
            libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    nothing = (ctypes.c_uint32 * 6)()
    libc.capset((ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0), nothing)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs is refused")
    _check_powerless(user)


def _check_powerless(user: int | None) -> None:
    """Check with the kernel that the rights are gone; a leaky sandbox must not start to work."""
    lines = Path("/proc/self/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    names = ["CapPrm", "CapEff", "CapInh", "CapAmb", *([] if user is None else ["CapBnd"])]
    powers = [name for name in names if int(status[name], 16)]
    if powers or status["NoNewPrivs"] != "1" or (user is not None and os.getuid() != user):
        raise PermissionError(f"the sandbox is leaky: {', '.join(powers) or 'user or no_new_privs'}")


def _limit(limits: Mapping[str, Any]) -> None:
    """Set the limits of each process: address space, processor time, file size, number of processes and files.

    A lower limit with which the suite was started stays, because raising it needs a capability.
    """
    seconds = int(limits["time_s"]) + 1
    for kind, value in (
        (resource.RLIMIT_AS, limits["memory_bytes"]),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, max(limits["file_bytes"], limits["scratch_bytes"])),
        (resource.RLIMIT_NPROC, limits["processes"]),
        (resource.RLIMIT_NOFILE, limits["open_files"]),
        (resource.RLIMIT_CORE, 0),
    ):
        _, highest = resource.getrlimit(kind)
        allowed = value if highest == resource.RLIM_INFINITY else min(value, highest)
        resource.setrlimit(kind, (allowed, allowed))


if __name__ == "__main__":
    main()
