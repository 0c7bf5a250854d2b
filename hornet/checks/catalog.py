"""Every check of one kind by name, bound to the spec: so that all of them can be held against one broken input."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial

from hornet.checks import (
    baked_secrets,
    boot,
    dangling_dependencies,
    feature_tests,
    files,
    guest_disk,
    guest_kernel,
    guest_network,
    health,
    init_system,
    read_only,
    removals,
    runtime_secrets,
    tools,
)
from hornet.checks.runtime_secrets import SecretTrial
from hornet.formats.image_tree import ImageTree
from hornet.spec.model import Spec
from hornet.vm.probes import ProbeResults

GuestCheck = Callable[[ProbeResults], list[str]]
ImageCheck = Callable[[ImageTree], list[str]]


def guest_checks(spec: Spec) -> dict[str, GuestCheck]:
    """What is judged by the facts of a guest."""
    checks: dict[str, GuestCheck] = {
        "kernel.flags": partial(guest_kernel.running_config_problems, spec.kernel),
        "kernel.version": partial(guest_kernel.version_problems, spec.kernel),
        "disk.symptoms": guest_disk.disk_symptom_problems,
    }
    for name, feature_test in spec.kernel.feature_tests.items():
        checks[f"feature.{name}"] = partial(feature_tests.feature_problems, name, feature_test)
    for name, known_init in spec.inits.items():
        checks[f"init.{name}"] = partial(init_system.init_problems, name, known_init)
    for boot_check in boot.CHECKS:
        checks[f"boot.{label(boot_check)}"] = partial(boot_check, spec.boot)
    for network_check in guest_network.CHECKS:
        checks[f"network.{label(network_check)}"] = partial(network_check, spec.network)
    for name, tool in spec.tools.items():
        for tool_check in tools.CHECKS:
            checks[f"tool.{name}.{label(tool_check)}"] = partial(tool_check, name, tool)
    return checks


def scratch_checks(spec: Spec, trial: SecretTrial) -> dict[str, GuestCheck]:
    """What is judged by the facts of a guest that is put through faults and given secrets."""
    checks: dict[str, GuestCheck] = {}
    for health_check in health.CHECKS:
        checks[f"health.{label(health_check)}"] = partial(health_check, spec.health)
    for injection_check in runtime_secrets.CHECKS:
        checks[f"injection.{label(injection_check)}"] = partial(injection_check, trial)
    return checks


def hardened_checks(spec: Spec) -> dict[str, GuestCheck]:
    """What is judged by the facts of a guest that was booted with a read-only root."""
    return {f"hardened.{label(check)}": partial(check, spec.read_only_root) for check in read_only.CHECKS}


def image_checks(spec: Spec, exempt: Collection[str] = ()) -> dict[str, ImageCheck]:
    """What is judged by the files of an image; exempt: the removals that do not apply to its tier."""
    checks: dict[str, ImageCheck] = {}
    for name, removal in spec.removals.items():
        for removal_check in [] if name in exempt else removals.checks_of(removal):
            checks[f"removal.{name}.{label(removal_check)}"] = partial(removal_check, removal)
    for name, rule in spec.files.items():
        checks[f"file.{name}"] = partial(files.file_problems, rule)
    for dangling_check in dangling_dependencies.CHECKS:
        checks[f"dangling.{label(dangling_check)}"] = partial(dangling_check, spec.dangling_dependencies)
    for secret_check in baked_secrets.CHECKS:
        checks[f"secret.{label(secret_check)}"] = partial(secret_check, spec.secrets)
    return checks


def label(check: Callable[..., list[str]]) -> str:
    """`gateway_problems` is `gateway`."""
    return check.__name__.removesuffix("_problems")
