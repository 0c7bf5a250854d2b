"""Writes down what an image that is known to be good is like, as an overlay that another image can be held against."""

from __future__ import annotations

import json
import math
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hornet.checks.catalog import image_checks
from hornet.checks.removals import APK_INSTALLED, DPKG_STATUS, installed_packages
from hornet.checks.sizes import rootfs_size_problems, size_mb
from hornet.errors import HornetError
from hornet.formats.archives.source import ImageSource
from hornet.formats.image_tree import Entry, ImageTree
from hornet.host.file_copy import write_private
from hornet.procedures.image_files import open_image, with_image
from hornet.procedures.judge_image import judge_source
from hornet.spec.model import Spec

SETUID = stat.S_ISUID | stat.S_ISGID
RELEASE = "/etc/os-release"
# How a package is noted as installed, by the database that has it.
DATABASES = {DPKG_STATUS: r"^Package: {}\nStatus: \w+ ok installed$", APK_INSTALLED: "^P:{}$"}
REASON = "the image from which this overlay was learned has it"
HEADER = """\
# Learned from {image} by `hornetos learn`. Judge another image by it, and edit it as any overlay:
#     pytest -m conformance --tier {tier} --overlay=FILE --image=IMAGE
"""


class Learned(NamedTuple):
    """What the files of an image say. removals: those that it has. files: by path, as mode and owner."""

    removals: list[str]
    missing_tools: list[str]
    database: str
    packages: list[str]
    files: dict[str, tuple[str, str]]
    release: list[str]


def learn(
    source: ImageSource, load: Callable[[list[Path]], Spec], tier: str, target: Path, work_directory: Path
) -> list[str]:
    """Write the overlay for an image into `target`, a new file; returns what the image fails by even with it.

    load: the specification with further overlays. The size of the image is learned from an ext4 file only. Raises
    HornetError if the image cannot be read, or `target` exists or cannot be written.
    """
    if target.exists():
        raise HornetError(f"{target}: exists", "name a new file, or remove that one")
    spec = load([])
    arguments = {"spec": spec.model_dump(mode="json"), "tier": tier}
    learned = with_image(learn_files, arguments, source, work_directory)
    found_mb = size_mb(source.path) if source.boots else None
    text = HEADER.format(image=source.path.name, tier=tier) + as_toml(overlay(learned, spec, tier, found_mb))
    try:
        write_private(target, text)
    except OSError as error:
        raise HornetError(f"{target}: cannot be written: {error.strerror}", "name another file") from error
    return _problems(source, load([target]), tier, found_mb, work_directory)


def _problems(source: ImageSource, spec: Spec, tier: str, found_mb: float | None, work_directory: Path) -> list[str]:
    """What the image fails by, judged with the overlay as it was written."""
    rules = spec.tier(tier)
    found = judge_source(source, spec, rules.exempt_from_removals, work_directory)
    too_large = rootfs_size_problems(rules, found_mb, {}) if found_mb is not None else []
    return [*too_large, *(f"{name}: {problem}" for name in found for problem in found[name])]


def learn_files(spec: dict[str, Any], tier: str, opening: dict[str, Any], **descriptors: int) -> Learned:
    """The sandboxed part of learn()."""
    rules = Spec.model_validate(spec)
    with open_image(opening, descriptors) as image:
        tree = image.tree
        exempt = rules.tier(tier).exempt_from_removals
        checks = {name: check for name, check in image_checks(rules, exempt).items() if name.startswith("removal.")}
        packages = sorted({name for name in installed_packages(tree) if name.isprintable()})
        database = next((path for path in DATABASES if packages and tree.text(path)), "")
        commands = dict(_commands(rules, tree))
        names = {path.rpartition("/")[2] for path in commands}
        return Learned(
            removals=sorted({name.split(".")[1] for name, check in checks.items() if check(tree)}),
            missing_tools=[name for name, tool in rules.tools_of(tier).items() if not names.issuperset(tool.needs)],
            database=database,
            packages=packages if database else [],
            # With packages, they say which commands there are.
            files={path: _facts(entry) for path, entry in commands.items() if not database or entry.mode & SETUID},
            release=re.findall(r"^(?:ID|VERSION_ID)=[\w.\"-]{1,60}$", tree.text(RELEASE) or "", re.MULTILINE),
        )


def _commands(rules: Spec, tree: ImageTree) -> Iterator[tuple[str, Entry]]:
    """The programs in the command paths, by the names that a rule can have."""
    for directory in rules.dangling_dependencies.command_paths:
        real = tree.resolve(directory)
        for path in tree.matching([f"{real}/*"]) if real and real != "/" else ():
            target = tree.resolve(path)
            entry = tree.entries.get(target) if target else None
            if entry and entry.is_file and path.isprintable() and not set(path) & set("*?"):
                yield path, entry


def _facts(entry: Entry) -> tuple[str, str]:
    return f"{stat.S_IMODE(entry.mode):04o}", f"{entry.uid}:{entry.gid}"


def overlay(learned: Learned, spec: Spec, tier: str, found_mb: float | None) -> dict[str, Any]:
    """The overlay: size limit, removals that the image has, tools that it lacks, packages or commands, its release."""
    exempt = [*spec.tier(tier).exempt_from_removals, *learned.removals]
    limit = {"max_mb": float(math.ceil(found_mb))} if found_mb is not None else {}
    others = [name for name in spec.tiers if name != tier]
    files = dict(enumerate(_rules(learned), 1))
    return {
        f"tiers.{tier}": {**limit, "exempt_from_removals": exempt},
        **{
            f"tools.{name}": {"tiers": [one for one in others if name in spec.tools_of(one)] or others}
            for name in learned.missing_tools
        },
        **{f"files.learned_{number}": rule for number, rule in files.items()},
    }


def _rules(learned: Learned) -> Iterator[dict[str, Any]]:
    for line in learned.release:
        yield _rule(f"Release {line}", RELEASE, contains=f"^{re.escape(line)}$")
    for name in learned.packages:
        contains = DATABASES[learned.database].format(re.escape(name))
        yield _rule(f"Package {name}", learned.database, contains=contains)
    for path, (mode, owner) in learned.files.items():
        yield _rule(f"Program {path.rpartition('/')[2]}", path, mode=mode, owner=owner)


def _rule(title: str, path: str, **more: str) -> dict[str, str]:
    return {"title": title, "reason": REASON, "path": path, **more}


def as_toml(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """Tables of texts, numbers and lists of texts: JSON writes these as TOML does."""
    lines: list[str] = []
    for name, table in tables.items():
        lines += [f"\n[{name}]", *(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"
