"""Commands that do what the oracle must find. No chance draws them: they are for the test of the oracle."""

from __future__ import annotations

import sys

from tests.faults.commands import COMMANDS, Command

RIGHT = "all is well"
OPENING = f"""
import os, subprocess, sys, time
from pathlib import Path
home = Path(os.environ['HORNET_HOME'])
first = not (home / 'second').exists()
(home / 'second').touch()
if not first:
    print({RIGHT!r})
    sys.exit()
"""
# What is done by the first of two starts, and what must be said of it.
SHAMS = {
    "well": (f"print({RIGHT!r})", ""),
    "process": (f"subprocess.Popen(['sleep', '99'], start_new_session=True); print({RIGHT!r})", "process .* sleep 99"),
    "tmp": (f"open('/tmp/left', 'w'); print({RIGHT!r})", "left behind even by the next start: /tmp/left"),
    "run": (f"open('/run/left', 'w'); print({RIGHT!r})", "left behind: /run/left"),
    "home": (f"(home / 'run' / 'left').touch(); print({RIGHT!r})", "left behind: .*run/left"),
    "unfinished": (f"(home / 'build/kernel/0.tmp-1').mkdir(); print({RIGHT!r})", r"left behind: .*0\.tmp-1"),
    "link": (f"os.system('ip link add left0 type veth peer name left1'); print({RIGHT!r})", "left behind: link left0"),
    "rules": (f"os.system('nft add table inet left'); print({RIGHT!r})", "left behind: nft table inet left"),
    "mount": (f"os.system('mount -t tmpfs left /srv'); print({RIGHT!r})", "left behind: mount /srv"),
    "changed": (f"(home / 'build/kernel/k/vmlinux').write_text('x'); print({RIGHT!r})", "its content was changed"),
    "removed": (f"(home / 'build/kernel/k/vmlinux').unlink(); print({RIGHT!r})", "vmlinux: was removed"),
    "empty": (f"(home / 'build/kernel/new').mkdir(); print({RIGHT!r})", "new: no inputs.json"),
    "traceback": ("raise KeyError('x')", "a traceback"),
    "lie": (f"print({RIGHT!r}); sys.exit(1)", "exit code 1, expected 0"),
    "silent": ("", "exit code 0, expected 0 with"),
    "speechless": ("sys.exit(2)", "exit code 2 without a sentence"),
    "unforeseen": (
        "print('hornetos: hornet/x.py, line 3: No space left', file=sys.stderr); sys.exit(2)",
        "line of Python",
    ),
    "wordy": (f"print('x\\n' * 99, file=sys.stderr); print({RIGHT!r})", "100 lines on standard error"),
    "deaf": ("import signal; signal.signal(15, signal.SIG_IGN); time.sleep(3); sys.exit(1)", "exit code 1"),
    "next": ("(home / 'second').write_text('broken'); sys.exit(3)", "exit code 3, expected 0"),
}


def _sham(name: str, code: str) -> Command:
    return Command(f"sham-{name}", lambda world: [sys.executable, "-c", OPENING + code], 0, (0, RIGHT))


COMMANDS |= {command.name: command for command in (_sham(name, code) for name, (code, _) in SHAMS.items())}
