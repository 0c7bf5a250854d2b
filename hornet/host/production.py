"""Whether this host is set up for production: spec/production.toml, and the kernel's limits for a number of VMs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hornet.spec.capacity import Limit
from hornet.spec.production import HostRule
from hornet.text import one_line

# The longest is /proc/mounts, with some hundred mounts.
MAX_BYTES = 1 << 20
ROOT = Path("/")
NOT_HERE = "not shown by this kernel"


@dataclass(frozen=True)
class Finding:
    """One setting. fine: None if it could not be judged. found, wanted: as text for a person."""

    name: str
    title: str
    fine: bool | None
    found: str
    wanted: str
    why: str
    change: str


@dataclass(frozen=True)
class ProductionAnswer:
    """`hornetos host --production --json`. vms: for how many VMs the limits are judged."""

    vms: int
    production: list[Finding]


def production_findings(
    rules: Mapping[str, HostRule], limits: Mapping[str, Limit], vms: int, root: Path = ROOT
) -> list[Finding]:
    """Every rule, and every limit of the kernel for that many VMs. root: of the file system with /proc and /sys."""
    found = [_rule(name, rule, root) for name, rule in rules.items() if _applies(rule, root)]
    return found + [_limit(name, limit, vms, root) for name, limit in limits.items() if limit.path]


def _applies(rule: HostRule, root: Path) -> bool:
    texts = {pattern: _read(root / file) for file, pattern in rule.only_if.items()}
    return all(text is not None and re.search(pattern, text, re.MULTILINE) for pattern, text in texts.items())


def _rule(name: str, rule: HostRule, root: Path) -> Finding:
    paths = [path for pattern in rule.files for path in sorted(root.glob(pattern))]
    texts = {path: _read(path) for path in paths}
    wrong = {path: text for path, text in texts.items() if text is not None and not re.search(rule.pattern, text, re.M)}
    unreadable = [path for path, text in texts.items() if text is None]
    fine: bool | None
    if wrong:
        fine, found = False, "; ".join(dict.fromkeys(_shown(path, text, paths) for path, text in wrong.items()))
    elif unreadable:
        fine, found = None, f"{unreadable[0]}: can't be read"
    elif not paths:
        fine, found = (True if rule.absent == "fine" else None), NOT_HERE
    else:
        fine, found = True, "; ".join(dict.fromkeys(_shown(path, text or "", paths) for path, text in texts.items()))
    return Finding(name, rule.title, fine, found, rule.wanted, rule.why, rule.change)


def _shown(path: Path, text: str, paths: list[Path]) -> str:
    """The value on one line; of several files that are named after what they hold, with the name."""
    first, *more = text.expandtabs(1).splitlines() or [""]
    value = one_line(f"{first} … ({len(more) + 1} lines)" if more else first)
    return f"{one_line(path.name)}: {value}" if len({each.name for each in paths}) > 1 else value


def _limit(name: str, limit: Limit, vms: int, root: Path) -> Finding:
    needed = limit.per_vm * (1 if limit.per_process else vms)
    text = _read(root / str(limit.path).lstrip("/"))
    value = text if text is not None and text.isdigit() else None
    key = str(limit.path).removeprefix("/proc/sys/").replace("/", ".")
    return Finding(
        name=name,
        title=f"limit: {limit.title}",
        fine=int(value) >= needed if value else None,
        found=value or (NOT_HERE if text is None else one_line(text)),
        wanted=f"at least {needed:.0f}" + ("" if limit.per_process else f" for {vms} VMs"),
        why=f"{limit.per_vm:g} {'of one VMM' if limit.per_process else 'per VM'}: {limit.source}",
        change=f"sysctl {key}={needed:.0f}",
    )


def _read(path: Path) -> str | None:
    """The text without the blanks around it; None if it can't be read."""
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_BYTES).decode("utf-8", "replace").strip()
    except OSError:
        return None
