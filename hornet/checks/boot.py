"""How the guest booted (guide: Troubleshooting, Cold boot hangs on entropy; What We Remove; Required Capabilities)."""

from __future__ import annotations

import re

from hornet.checks.check import Subject, check
from hornet.spec.rules import Boot
from hornet.vm.probes import Probe, ProbeResults

# Prints the names of services that should run and do not, for any init system. No output means that all services run.
FAILED_SERVICES = """
if test -d /run/systemd/system; then systemctl list-units --failed --plain --no-legend
elif command -v rc-status >/dev/null; then
  rc-status --crashed
  for service in /etc/runlevels/sysinit/* /etc/runlevels/boot/* /etc/runlevels/default/*; do
    test ! -e "$service" || test -e "/run/openrc/started/${service##*/}" || echo "$service"
  done
elif test -f /etc/inittab; then
  sed -n 's/^[^#:]*:[^:]*:respawn:\\([^ ]*\\).*/\\1/p' /etc/inittab | while read -r program; do
    pidof "${program##*/}" >/dev/null || echo "$program"
  done
fi
"""
RANDOM_BYTES = 64


def boot_probes(boot: Boot) -> list[Probe]:
    """Probes for the kernel log, swap, services, boot phases and random numbers."""
    return [
        Probe("boot.kernel_log", "dmesg"),
        Probe("boot.swap", "cat /proc/swaps 2>/dev/null || true"),
        Probe("boot.services", FAILED_SERVICES),
        Probe("boot.phases", f"cat {boot.phases_file}"),
        Probe("boot.random", f"head -c {RANDOM_BYTES} /dev/random | wc -c", timeout_s=5),
    ]


@check("boot.argument", Subject.GUEST, given=lambda spec: spec.boot, proves=["trouble-entropy"])
def argument_problems(boot: Boot, facts: ProbeResults) -> list[str]:
    """Boot arguments that the guide requires and that are missing."""
    given = facts["kernel.cmdline"].output.split()
    return [f"boot argument {wanted} is missing" for wanted in boot.required_arguments if wanted not in given]


@check("boot.entropy", Subject.GUEST, given=lambda spec: spec.boot, proves=["trouble-entropy"])
def entropy_problems(boot: Boot, facts: ProbeResults) -> list[str]:
    """Random numbers that were not ready before the first program started, or that make a program wait."""
    problems = []
    log = facts["boot.kernel_log"].output
    ready, userland = re.search(boot.random_ready, log), re.search(boot.userland_started, log)
    if not ready:
        problems.append(f"the kernel log has no line {boot.random_ready!r}: random numbers never became ready")
    elif userland and ready.start() > userland.start():
        problems.append(f"{ready[0]!r} comes after {userland[0]!r}: the first programs had to wait for entropy")
    answer = facts.ended_or_not("boot.random")
    if answer.output.strip() != str(RANDOM_BYTES):
        problems.append(f"reading {RANDOM_BYTES} bytes of /dev/random: {answer}")
    return problems


@check("boot.kernel_log", Subject.GUEST, given=lambda spec: spec.boot, proves=["boot-kernel-log"])
def kernel_log_problems(boot: Boot, facts: ProbeResults) -> list[str]:
    """Lines of the kernel log that report an error."""
    answer = facts["boot.kernel_log"]
    return line_problems(boot, answer.output) if answer.ok else [f"the kernel log can't be read: {answer}"]


@check("console_lines")
def line_problems(boot: Boot, text: str) -> list[str]:
    """Lines that match a known-bad pattern and no ignored pattern."""
    bad = [re.compile(line.pattern) for line in boot.bad_lines]
    ignored = [re.compile(known.pattern) for known in boot.ignored]
    problems = []
    for line in text.splitlines():
        matched = next((pattern.pattern for pattern in bad if pattern.search(line)), None)
        if matched and not any(known.search(line) for known in ignored):
            problems.append(f"{line.strip()!r} matches {matched!r}")
    return problems


@check("boot.service", Subject.GUEST, given=lambda spec: spec.boot, proves=["boot-services"])
def service_problems(boot: Boot, facts: ProbeResults) -> list[str]:
    """Services that should run and do not."""
    answer = facts["boot.services"]
    if not answer.ok:
        return [f"services can't be listed: {answer}"]
    return [f"service not running: {line}" for line in answer.output.split("\n") if line.strip()]


@check("boot.swap", Subject.GUEST, given=lambda spec: spec.boot, proves=["boot-no-swap"])
def swap_problems(boot: Boot, facts: ProbeResults) -> list[str]:
    """Swap devices. All memory of a guest must be in its snapshot's memory file, so none is allowed."""
    answer = facts["boot.swap"]
    devices = [line.split()[0] for line in answer.output.splitlines()[1:] if line.strip()]
    return [f"swap is enabled: {device}" for device in devices]


@check("boot.phase", Subject.GUEST, given=lambda spec: spec.boot, proves=["trouble-entropy"])
def phase_problems(boot: Boot, facts: ProbeResults) -> list[str]:
    """Phases of the boot that are missing, out of order, or stalled."""
    answer = facts["boot.phases"]
    found = phases_s(answer.output)
    missing = [phase for phase in boot.phases if phase not in found]
    if missing:
        return [f"{boot.phases_file}: missing phases: {', '.join(missing)} ({answer})"]
    problems, before_s = [], 0.0
    for phase in boot.phases:
        took_s = found[phase] - before_s
        if not 0 <= took_s < boot.stall_s:
            problems.append(f"boot: {took_s:.2f} s until {phase}, expected 0 to {boot.stall_s:g} s")
        before_s = found[phase]
    return problems


def phases_s(text: str) -> dict[str, float]:
    """Seconds since the kernel started, by phase, as the guest recorded them."""
    return {phase: float(uptime) for phase, uptime in re.findall(r"^(\w+) (\d+(?:\.\d+)?)$", text, re.MULTILINE)}
