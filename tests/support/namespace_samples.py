"""Commands as root of a user namespace: with root's capabilities, but none over what is outside of it."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from hornet.installation import SOURCE

TIMEOUT_S = 60


def in_user_namespace(*command: str, input_text: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command as root of a user namespace in which every id of this one is known.

    With root alone (`unshare --map-root-user`), files of other users would be closed to it: the checkout and Python in
    a home of mode 0700.
    """
    ready, signal_ready = os.pipe()
    # The ids are mapped while the shell waits. It has no capabilities itself: env has, and so gets to the command.
    argv = ["unshare", "--user", "--mount", "bash", "-c", f'read ready <&{ready}; exec env "$@"', "sh", *command]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    with subprocess.Popen(
        argv,
        env=environment,
        text=True,
        pass_fds=[ready],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        os.close(ready)
        own = os.readlink("/proc/self/ns/user")
        deadline_s = time.monotonic() + TIMEOUT_S
        while os.readlink(f"/proc/{process.pid}/ns/user") == own and time.monotonic() < deadline_s:
            time.sleep(0.01)
        for ids in ("uid_map", "gid_map"):
            known = [line.split() for line in Path(f"/proc/self/{ids}").read_text().splitlines()]
            identity = "".join(f"{first} {first} {count}\n" for first, _, count in known)
            Path(f"/proc/{process.pid}/{ids}").write_text(identity)
        os.write(signal_ready, b"\n")
        os.close(signal_ready)
        output, _ = process.communicate(input_text, timeout=TIMEOUT_S)
    return subprocess.CompletedProcess(argv, process.returncode, output)
