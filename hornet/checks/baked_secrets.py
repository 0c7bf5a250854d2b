"""No secrets in the rootfs (guide: Phase 4, Runtime Secrets Injection): find keys, passwords and tokens in an image.

A finding shows only the first characters of a secret, because many people read reports.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import islice

from hornet.checks.check import Subject, check
from hornet.formats.content import Chunk, chunks
from hornet.formats.image_tree import ImageTree
from hornet.spec.rules import Secrets

SHADOW = "/etc/shadow"
# A hash that starts with one of these locks the account; an empty hash lets anybody log in.
LOCKED = ("*", "!")
AUTHORIZED_KEYS = ("authorized_keys*",)
SHOWN_CHARACTERS = 12
MAX_FINDINGS = 1000


@check("secret.file", Subject.IMAGE, given=lambda spec: spec.secrets, proves=["no-baked-secrets"])
def file_problems(secrets: Secrets, tree: ImageTree) -> list[str]:
    """Files whose name says that they hold secrets: shell histories, private keys, credentials."""
    return [f"{path}: must not be in an image" for path in tree.matching(secrets.forbidden_paths)]


@check("secret.key", Subject.IMAGE, given=lambda spec: spec.secrets, proves=["no-baked-secrets"])
def key_problems(secrets: Secrets, tree: ImageTree) -> list[str]:
    """SSH keys that can log in to every VM of this image and that the spec does not allow."""
    return [
        f"{path}: lets {_shorten(line)} log in to every VM of this image; it is not in secrets.allowed_keys"
        for path in tree.named(AUTHORIZED_KEYS)
        for line in (tree.text(path) or "").splitlines()
        if line.strip() and not line.startswith("#") and line.strip() not in secrets.allowed_keys
    ]


@check("secret.password", Subject.IMAGE, given=lambda spec: spec.secrets, proves=["no-baked-secrets"])
def password_problems(secrets: Secrets, tree: ImageTree) -> list[str]:
    """Accounts that can be used with a password, or without any."""
    problems = []
    for line in (tree.text(SHADOW) or "").splitlines():
        user, _, rest = line.partition(":")
        password = rest.partition(":")[0]
        if not password.startswith(LOCKED):
            what = "a password" if password else "no password"
            problems.append(f"{SHADOW}: {user} has {what}, expected a locked account ('*' or '!')")
    return problems


@check("secret.content", Subject.IMAGE, given=lambda spec: spec.secrets, proves=["no-baked-secrets"])
def content_problems(secrets: Secrets, tree: ImageTree) -> list[str]:
    """Files whose content looks like a key or a token."""
    return [
        f"{path}: {finding}"
        for path in tree.files
        for finding, _ in _findings_in_file(secrets, tree, path)
        if not _ignored(secrets, f"{path}: {finding}")
    ]


@check("secret_remnants")
def remnant_problems(secrets: Secrets, places: Mapping[str, Iterable[Chunk]], tree: ImageTree) -> list[str]:
    """Keys and tokens in an image that are in none of its files: they were deleted but can still be read.

    places: the raw content of the image, by place. tree: the files in it.
    """
    found = [(place, finding, secret) for place, raw in places.items() for finding, secret in findings(secrets, raw)]
    if not found:
        return []
    in_files = {secret for path in tree.files for _, secret in _findings_in_file(secrets, tree, path)}
    return [f"{finding} of {place}: rebuild the image" for place, finding, secret in found if secret not in in_files]


def findings(secrets: Secrets, chunks: Iterable[Chunk]) -> Iterator[tuple[str, bytes]]:
    """Matches of the patterns: a description and the matched bytes.

    After MAX_FINDINGS, the last one says that there are more: accepted ones must not hide another behind them.
    """
    found = _findings(secrets, chunks)
    yield from islice(found, MAX_FINDINGS)
    if next(found, None):
        yield f"more than {MAX_FINDINGS} keys or tokens: the others were not judged", b""


def _findings(secrets: Secrets, chunks: Iterable[Chunk]) -> Iterator[tuple[str, bytes]]:
    patterns = {name: re.compile(kind.pattern.encode()) for name, kind in secrets.patterns.items()}
    for chunk in chunks:
        for name, pattern in patterns.items():
            for found in pattern.finditer(chunk.data):
                if found.start() < chunk.own_bytes:
                    where = chunk.offset_bytes + found.start()
                    yield f"{name} at byte {where}: {_shorten(found[0].decode(errors='replace'))}", found[0]


def _findings_in_file(secrets: Secrets, tree: ImageTree, path: str) -> Iterator[tuple[str, bytes]]:
    return findings(secrets, chunks(tree.data_ranges(path), partial(tree.read, path)))


def _ignored(secrets: Secrets, finding: str) -> bool:
    return any(re.search(known.pattern, finding) for known in secrets.ignored)


def _shorten(text: str) -> str:
    first = " ".join(text.split())
    return repr(f"{first[:SHOWN_CHARACTERS]}…" if len(first) > SHOWN_CHARACTERS else first)
