"""The emulated host: one QEMU with virtiofsd, in namespaces of their own, and the sockets of its ports."""

from __future__ import annotations

import os
import re
import secrets
import select
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from hornet.errors import HostError
from hornet.host.owned import MOUNTS
from hornet.host.proc import END_TIMEOUT_S, SUPERVISOR
from hornet.spec.lab import Lab
from hornet.vmm.qemu.command_line import SANDBOX
from hornet.vmm.transcript import last_lines
from lab.components import Components
from lab.host_view import shown_mounts
from lab.nudge import Nudge
from lab.pump import Pump

ENTER = Path(__file__).with_name("enter.sh")
NAMESPACES = ("unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child", "--net", "--ipc")
# Ports of the emulated host: what it says of itself, what the command prints, what it leaves, what keeps it awake.
CONTROL, OUTPUT, ERRORS, RESULTS, NUDGE = PORTS = ("control", "output", "errors", "results", "nudge")
CONSOLE, TERMINAL = "console", "terminal"
# oops=panic: a fault of the emulated host's kernel ends the lab, and no test fails by it.
BOOT_ARGS = "console=ttyS0 quiet panic=-1 oops=panic mitigations=off nokaslr no_timer_check rdinit=/init"
CONSOLE_FILE, LOG_FILE = "console.log", "qemu.log"
MAX_CONSOLE_BYTES = 4 << 20
# What a fault is, and of which program, is said before its trace, which is longer than the end of a console that an
# error shows. A fault in the handler of faults is said again and again, with another time.
SAID_OF_FAULTS = r"BUG: |Oops|CPU: \d+ .*Comm: |RIP: |Kernel panic|general protection|Out of memory|Killed process"
FAULT = re.compile(rf"^(?:\[ *[\d.]+\] )?(.*(?:{SAID_OF_FAULTS}).*?)\r*$", re.MULTILINE)
MAX_FAULTS = 20
CHUNK_BYTES = 1 << 16


class Machine:
    """A running emulated host; a context manager that ends it with all its processes and mounts.

    directory: for console and log. Raises HostError if it can't be started.
    """

    def __init__(self, lab: Lab, parts: Components, initramfs: Path, user: int, directory: Path) -> None:
        self._directory = directory
        self._stack = ExitStack()
        self.ends: dict[str, socket.socket] = {}
        self._control = b""
        theirs = {name: self._socket(name) for name in (*PORTS, CONSOLE, TERMINAL)}
        self._scratch = Path(tempfile.gettempdir(), f"hornetos-{os.getpid()}-{secrets.token_hex(4)}")
        fds = {name: end.fileno() for name, end in theirs.items()}
        argv = [
            *(*SUPERVISOR, str(os.getpid()), str(self._scratch), *NAMESPACES, "sh", str(ENTER)),
            *(str(parts.tree), str(parts.initramfs), str(initramfs), str(user)),
            *(*shown_mounts(MOUNTS.read_text()), "--", *qemu_arguments(lab, parts.kernel, fds)),
        ]
        with (directory / LOG_FILE).open("wb") as log:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=tuple(fds.values()),
                start_new_session=True,
                cwd="/",
            )
        for end in theirs.values():
            end.close()
        sink = self._stack.enter_context((directory / CONSOLE_FILE).open("wb"))
        self._console = Pump(self.ends[CONSOLE], sink.fileno(), limit_bytes=MAX_CONSOLE_BYTES)
        self._nudge = Nudge(self.ends[NUDGE])

    def _socket(self, name: str) -> socket.socket:
        ours, theirs = socket.socketpair()
        self.ends[name] = self._stack.enter_context(ours)
        return theirs

    def next_message(self, timeout_s: float | None) -> str | None:
        """The next line on the control port; None if there is none in time, "" once QEMU has ended.

        timeout_s: None for no limit.
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while b"\n" not in self._control:
            left_s = None if deadline_s is None else max(0.0, deadline_s - time.monotonic())
            if not select.select([self.ends[CONTROL]], [], [], left_s)[0]:
                return None
            chunk = self.ends[CONTROL].recv(CHUNK_BYTES)
            if not chunk:
                self._console.join()  # so that the last words are complete
                return ""
            self._control += chunk
        line, _, self._control = self._control.partition(b"\n")
        return line.decode("utf-8", "replace")

    def last_words(self) -> str:
        """The faults of the emulated host's kernel, the end of its console and of QEMU's log, for errors."""
        files = {"console": CONSOLE_FILE, "QEMU's log": LOG_FILE}
        texts = {
            title: (self._directory / name).read_bytes().decode("utf-8", "replace") for title, name in files.items()
        }
        shown = {title: last_lines(text) for title, text in texts.items()}
        if faults := list(dict.fromkeys(FAULT.findall(texts["console"])))[:MAX_FAULTS]:
            shown = {"faults": "\n".join(faults), **shown}
        return "\n".join(f"{title}:\n{text or '(empty)'}" for title, text in shown.items())

    def wait_off(self, timeout_s: float) -> None:
        """Wait until QEMU has ended by itself. Raises HostError if it does not."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise HostError(
                f"the lab did not turn itself off within {timeout_s:g} s", "run the command again"
            ) from None

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._nudge.end()
        self._process.terminate()  # the supervisor ends everything
        try:
            self._process.wait(END_TIMEOUT_S)
        finally:
            self._process.kill()
            self._process.wait()
            self._console.join()
            self._stack.close()


def qemu_arguments(lab: Lab, kernel: str, fds: dict[str, int]) -> Sequence[str]:
    """QEMU's arguments. fds: QEMU's ends of the sockets of all ports, by name."""
    ports = [word for name in PORTS for word in ("-device", f"virtserialport,chardev={name},name={name}")]
    return [
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-sandbox", SANDBOX),
        *("-M", "q35,memory-backend=ram,usb=off,vmport=off", "-accel", "tcg,thread=multi", "-cpu", lab.cpu),
        *("-smp", str(lab.cpus), "-m", f"{lab.memory_mib}M"),
        *("-object", f"memory-backend-memfd,id=ram,size={lab.memory_mib}M,share=on"),
        *("-chardev", "socket,id=host,path=/run/host.sock"),
        *("-device", "vhost-user-fs-pci,chardev=host,tag=host,queue-size=1024"),
        *("-device", "virtio-rng-pci", "-device", "virtio-serial-pci"),
        *(word for name, fd in fds.items() for word in ("-chardev", f"socket,id={name},fd={fd}")),
        *("-serial", f"chardev:{CONSOLE}", "-device", f"virtconsole,chardev={TERMINAL}", *ports),
        *("-kernel", kernel, "-initrd", "/run/initramfs", "-append", BOOT_ARGS),
    ]
