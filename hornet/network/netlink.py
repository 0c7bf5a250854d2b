"""Opens a netlink socket. pyroute2 is imported when one is opened: it took a third of each command's start."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyroute2 import IPRoute


def open_netlink() -> IPRoute:
    """A socket to the kernel in the thread's network namespace; a context manager."""
    from pyroute2 import IPRoute

    return IPRoute()
