"""Configures a kernel from the spec's flags: all options disabled, then the flags enabled and each one verified."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hornet.errors import BuildError
from hornet.formats.kconfig import KernelConfig, check_flags, format_config, read_config
from hornet.spec.kernel import Kernel

FRAGMENT_FILE = "hornetos.config"


def configure(tree: Path, kernel: Kernel, boot_args: str, make: Callable[..., object]) -> KernelConfig:
    """Configure the source in `tree` and return the resulting configuration. `make(*words)` runs make there.

    The kernel's own `allnoconfig` resolves the dependencies. It silently drops flags with unmet dependencies, so every
    flag is verified. Raises BuildError that lists every flag with a wrong value.
    """
    (tree / FRAGMENT_FILE).write_text(fragment(kernel))
    make("allnoconfig", f"KCONFIG_ALLCONFIG={FRAGMENT_FILE}")
    config = read_config(tree / ".config")
    verify(config, kernel, boot_args)
    return config


def fragment(kernel: Kernel) -> str:
    """The flags of the spec as the text of a .config. The kernel ignores names that its version does not have."""
    wanted = dict.fromkeys([*kernel.required_symbols, *kernel.extra_symbols], "y")
    return format_config({**wanted, **dict.fromkeys(kernel.removed_symbols, "n")})


def verify(config: KernelConfig, kernel: Kernel, boot_args: str) -> None:
    """Check every flag of the spec in the configuration. Raises BuildError with those that do not hold."""
    verdicts = check_flags(
        config,
        [*kernel.required_symbols, *kernel.extra_symbols],
        kernel.removed_symbols,
        config.version,
        symbols=kernel.symbols,
        boot_args=boot_args,
    )
    wrong = [f"\n  CONFIG_{v.symbol}: expected {v.expected}, found {v.found}: {v.reason}" for v in verdicts if not v.ok]
    if wrong:
        raise BuildError(
            f"Linux {config.version}: {len(wrong)} of {len(verdicts)} kernel flags are wrong:{''.join(wrong)}",
            "add the flag's dependencies to kernel.extras of the spec, or remove the flag",
        )
