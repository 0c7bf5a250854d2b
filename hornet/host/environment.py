"""The environment of child processes: a fixed locale, and while something is built, only what a build may use."""

from __future__ import annotations

import os
from collections.abc import Mapping

from hornet.host.umask import building

# LANGUAGE outranks LC_ALL for messages, except in the locale C; C.UTF-8 is not C. Empty, it counts as not set.
FIXED_LOCALE = {"LC_ALL": "C.UTF-8", "LANG": "C.UTF-8", "LANGUAGE": ""}
# Programs and the network are found by these. Compilers, tar, apt and others read hundreds more: CFLAGS, TAR_OPTIONS,
# SOURCE_DATE_EPOCH, KBUILD_*, … An artifact must not depend on them: its key does not.
_KEPT = frozenset({"PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TERM", "APT_CONFIG"})
# Where downloads come from, and whom they trust (README names them): no part of what is downloaded, which is checked.
_DOWNLOADS = ("SSL_CERT_", "PIP_", "npm_config_", "NPM_CONFIG_", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE")
_KEPT_PREFIXES, _KEPT_SUFFIX = ("CCACHE_", "HORNET", *_DOWNLOADS), "_proxy"


def child_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a child process; `more` is laid over it."""
    inherited = dict(os.environ)
    if building():
        inherited = {name: value for name, value in inherited.items() if _of_a_build(name)} | {"TZ": "UTC"}
    return {**inherited, **FIXED_LOCALE, **(more or {})}


def _of_a_build(name: str) -> bool:
    return name in _KEPT or name.startswith(_KEPT_PREFIXES) or name.lower().endswith(_KEPT_SUFFIX)
