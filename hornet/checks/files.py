"""Rules about the files of an image, as data: [files] of the spec or of a team's overlay."""

from __future__ import annotations

import re
import stat

from hornet.checks.check import Subject, check
from hornet.formats.image_tree import ImageTree
from hornet.spec.rules import FileRule


@check("file.{}", Subject.IMAGE, each=lambda spec: {name: (rule,) for name, rule in spec.files.items()})
def file_problems(rule: FileRule, tree: ImageTree) -> list[str]:
    """Files that are missing, forbidden, or different from what the rule requires. Links are followed."""
    found = tree.matching([rule.path])
    if not rule.present:
        return [f"{rule.title}: {path} is in the image, expected no such file: {rule.reason}" for path in found]
    if not found:
        return [f"{rule.title}: nothing in the image matches {rule.path}: {rule.reason}"]
    return [
        f"{rule.title}: {path}: {problem}: {rule.reason}" for path in found for problem in _problems(rule, tree, path)
    ]


def _problems(rule: FileRule, tree: ImageTree, path: str) -> list[str]:
    real = tree.resolve(path)
    if real is None:
        return ["dangling link"]
    if real == "/":
        return ["it is a link to the root directory"]
    entry = tree.entries[real]
    mode, owner = f"{stat.S_IMODE(entry.mode):04o}", f"{entry.uid}:{entry.gid}"
    problems = []
    if rule.mode and mode != rule.mode:
        problems.append(f"mode {mode}, expected {rule.mode}")
    if rule.owner and owner != rule.owner:
        problems.append(f"owner {owner}, expected {rule.owner}")
    if rule.contains:
        text = tree.text(path)
        if text is None:
            problems.append("not a regular file, so it has no text")
        elif not re.search(rule.contains, text, re.MULTILINE):
            problems.append(f"its text does not match {rule.contains!r}")
    return problems
