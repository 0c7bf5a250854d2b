"""Keys of the specification that were renamed or removed. A spec that still has one gets an error with the new name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

# Old key: new key. `*` matches any key, the same one on both sides.
RENAMED = {
    "kernel.max_mb": "metrics.kernel_size.target",
    "kernel.promises": "kernel.feature_tests",
    "leftovers": "dangling_dependencies",
    "metrics.rootfs_size.target": "tiers.standard.max_mb",
    "rootfs.baseline.npm.*": "rootfs.npm.*",
    "rootfs.debian.keep": "rootfs.debian.image_components",
    "rootfs.debian.refusing": "rootfs.debian.stub_libraries",
    "tiers.*.keeps": "tiers.*.exempt_from_removals",
    "tools.*.guide": "tools.*.requirement",
}
# Old key: why it has no replacement.
REMOVED = {
    "accepted": "name the requirement in a waivers file (docs/policy.md)",
    "machine.shutdown_timeout_s": "it was never read",
    "metrics.*.baseline_quote": "reports show baseline",
    "metrics.*.target_quote": "reports show target",
    "name": "it was never read",
    "rootfs.debian.trim_keeps": "no library is trimmed: use the compressed layout",
    "rootfs.debian.trimmed": "no library is trimmed: use the compressed layout",
    "schema": "old keys are detected without it",
    "tiers.*.min_mb": "an image may be smaller",
    "tiers.*.use_case": "it was never read",
}


def renamed_keys(tables: dict[str, Any]) -> list[str]:
    """One sentence for each key that was renamed or removed."""
    problems = []
    for old, new in RENAMED.items():
        for found, matched in _find(tables, old.split(".")):
            keys = iter(matched)
            name = ".".join(next(keys) if part == "*" else part for part in new.split("."))
            problems.append(f"{found}: renamed: use {name}")
    for old, why in REMOVED.items():
        problems += [f"{found}: removed: {why}; delete it" for found, _ in _find(tables, old.split("."))]
    return problems


def _find(node: Any, pattern: list[str]) -> Iterator[tuple[str, list[str]]]:
    """The keys that match the pattern, joined by dots, each with the keys that its `*` matched."""
    first, *rest = pattern
    if not isinstance(node, dict):
        return
    for key in [key for key in node if first in (key, "*")]:
        own = [key] if first == "*" else []
        if not rest:
            yield key, own
            continue
        for below, matched in _find(node[key], rest):
            yield f"{key}.{below}", own + matched
