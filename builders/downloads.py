"""Before a download: is it allowed (--offline), and is its source reachable? A failed build then takes seconds.

apt and npm retry for minutes before they say so. What is in the store needs no download and is never asked about.
"""

from __future__ import annotations

import os
import re
import socket
import sys
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from builders.apt.sources import configured_mirrors
from hornet.errors import BuildError, HornetError
from hornet.host.artifact_store import OFFLINE
from hornet.host.proc import run
from hornet.host.workspace import Workspace

CONNECT_TIMEOUT_S = 5.0
QUERY_TIMEOUT_S = 30.0
PORTS = {"http": 80, "https": 443}
INSTALLED_SOURCES = Path("/usr/src")
NETWORK_HINT = "check the network and the proxy's settings; what is cached already works with --offline"
ALPINE_HINT = "in an overlay, set rootfs.alpine.mirror and rootfs.alpine.minirootfs to reachable addresses"


def check_download(workspace: Workspace, kind: str, inputs: Mapping[str, Any]) -> None:
    """Raises BuildError if an artifact that must be downloaded cannot be."""
    if kind == "npm":
        require_source("npm's registry", _npm_registry, _npm_proxies)
    elif kind in ("toolbox", "packages") and "debian" in inputs:
        mirror = inputs["debian"]["mirror"]
        require_source(
            "apt's mirror", lambda: [mirror] if mirror else list(configured_mirrors().values()), _apt_proxies
        )
    elif kind == "packages" and "alpine" in inputs and urlsplit(inputs["alpine"]["mirror"]).scheme in PORTS:
        require_source("Alpine's mirror", lambda: [inputs["alpine"]["mirror"]], hint=ALPINE_HINT)
    elif kind == "kernel" and "source" in inputs and not _has_kernel_source(workspace, inputs["source"]):
        debian = "debian" in inputs["source"]
        require_source(
            "the kernel's source", lambda: list(configured_mirrors().values()) if debian else [], _apt_proxies
        )


def require_source(
    what: str,
    find_urls: Callable[[], list[str]],
    find_proxies: Callable[[], Mapping[str, str]] = urllib.request.getproxies,
    hint: str = NETWORK_HINT,
) -> None:
    """Raises BuildError if this command is --offline, or a source of a download cannot be reached. what: its name."""
    if os.environ.get(OFFLINE):
        raise BuildError(
            f"{what}: needed for a build, but this command is --offline",
            "run it once without --offline; what was downloaded then works offline",
        )
    proxies: Mapping[str, str] | None = None
    for url in find_urls():
        proxies = find_proxies() if proxies is None else proxies
        parts = urlsplit(url)
        if parts.scheme not in PORTS or parts.hostname is None:
            continue  # a local mirror, or a scheme of apt's own
        _connect(what, url, proxies.get(parts.scheme) or url, hint)


def _connect(what: str, url: str, address: str, hint: str) -> None:
    parts = urlsplit(address)
    port = parts.port or PORTS.get(parts.scheme, 80)
    try:
        socket.create_connection((parts.hostname or "", port), timeout=CONNECT_TIMEOUT_S).close()
    except OSError as error:
        through = "" if address == url else f" through the proxy {parts.hostname}"
        raise BuildError(
            f"{what} cannot be reached: {url}{through}: {error}",
            hint,
        ) from error


def _has_kernel_source(workspace: Workspace, source: Mapping[str, str]) -> bool:
    """Whether the source needs no download: a local tree, an installed package, an archive in the cache."""
    cache = workspace.root / "cache" / "kernel"
    if version := source.get("kernel.org"):
        return (cache / f"linux-{version}.tar.xz").exists()
    package = source.get("debian")
    return package is None or (INSTALLED_SOURCES / f"{package}.tar.xz").exists() or any(cache.glob(f"{package}*"))


def _npm_registry() -> list[str]:
    found = _npm("registry")
    return [found] if found else []


def _npm_proxies() -> Mapping[str, str]:
    proxy = _npm("https-proxy") or _npm("proxy")
    return {"http": proxy, "https": proxy} if proxy else urllib.request.getproxies()


def _npm(setting: str) -> str:
    """A setting of npm; "" if it has none, or cannot say."""
    npm = Path(sys.executable).with_name("npm")
    try:
        lines = run([npm, "config", "get", setting], timeout_s=QUERY_TIMEOUT_S).output.split()
    except HornetError:
        return ""
    return next((line for line in lines if line.startswith("http")), "")


def _apt_proxies() -> Mapping[str, str]:
    """The proxies of apt's own configuration, else those of the environment."""
    try:
        said = run(["apt-config", "dump"], timeout_s=QUERY_TIMEOUT_S).output
    except HornetError:
        said = ""
    own = dict(re.findall(r'^Acquire::(https?)::Proxy "(http[^"]+)";$', said, re.MULTILINE | re.IGNORECASE))
    return {**urllib.request.getproxies(), **own}
