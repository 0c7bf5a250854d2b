"""The kernel that the guest runs, as the guest reports it (guide: Phase 3, Required Kernel Features)."""

from __future__ import annotations

from collections.abc import Iterable

from hornet.checks.check import Subject, check
from hornet.formats.kconfig import FlagVerdict, KconfigError, KernelConfig, check_flags, parse_config, version_key
from hornet.spec.kernel import Kernel
from hornet.vm.probes import Probe, ProbeResults


def kernel_probes() -> list[Probe]:
    """Configuration, release and command line of the running kernel."""
    return [
        Probe("kernel.config", "zcat /proc/config.gz"),
        Probe("kernel.release", "uname -r"),
        Probe("kernel.cmdline", "cat /proc/cmdline"),
    ]


@check("kernel.flags", Subject.GUEST, given=lambda spec: spec.kernel)
def running_config_problems(kernel: Kernel, facts: ProbeResults) -> list[str]:
    """Flags of the running kernel's configuration that differ from what the guide requires."""
    answer = facts["kernel.config"]
    if not answer.ok:
        return [f"the kernel configuration can't be read in the guest (CONFIG_IKCONFIG_PROC): {answer}"]
    config = parse_config(answer.output)
    return config_problems(kernel, config, facts["kernel.release"].output.strip(), facts["kernel.cmdline"].output)


@check("kernel.version", Subject.GUEST, given=lambda spec: spec.kernel)
def version_problems(kernel: Kernel, facts: ProbeResults) -> list[str]:
    """A kernel older than the spec allows, or a configuration that belongs to another version."""
    release = facts["kernel.release"].output.strip()
    try:
        running = version_key(release)
    except KconfigError as error:
        return [f"uname -r: {error.message}"]
    if running < version_key(kernel.min_version):
        return [f"the guest runs Linux {release}, expected at least {kernel.min_version}"]
    title = parse_config(facts["kernel.config"].output).version if facts["kernel.config"].ok else None
    if title and version_key(title) != running:
        return [f"the guest runs Linux {release}, but /proc/config.gz is from Linux {title}"]
    return []


@check("kernel_config")
def config_problems(kernel: Kernel, config: KernelConfig, version: str | None, boot_args: str) -> list[str]:
    """Flags of a configuration that differ from what the guide requires."""
    required, removed = kernel.required_symbols, kernel.removed_symbols
    return flag_problems(check_flags(config, required, removed, version, symbols=kernel.symbols, boot_args=boot_args))


@check("kernel_flags")
def flag_problems(verdicts: Iterable[FlagVerdict]) -> list[str]:
    """One line for each flag that has the wrong value."""
    return [f"CONFIG_{v.symbol}: {v.found}, expected {v.expected}: {v.reason}" for v in verdicts if not v.ok]
