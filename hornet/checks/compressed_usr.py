"""A compressed /usr (docs/images.md, Layouts): the kernel can mount it, changes belong to it, the guest can make more.

An image of the plain layout has none, so there is nothing that could be wrong with it.
"""

from __future__ import annotations

from hornet.checks.check import Subject, check
from hornet.formats.image_tree import ImageTree
from hornet.formats.kconfig import KernelConfig, check_flags
from hornet.formats.overlay_tree import CHANGES, ID_IN_USR, ID_OF_CHANGES, USR_FILE
from hornet.vm.probes import Probe, ProbeResults

STATE = "usr.state"
PLAIN = "plain"
# What mounts it: builders/rootfs/compressed_usr.py and native/mount_usr.c.
KERNEL_SYMBOLS = ("BLK_DEV_LOOP", "SQUASHFS", "SQUASHFS_ZSTD", "OVERLAY_FS")
# Prints the mount and writes through it.
SCRIPT = f"""
test -e {USR_FILE} || {{ echo {PLAIN}; exit 0; }}
grep '^[^ ]* /usr overlay ' /proc/mounts || {{ echo 'no overlay on /usr'; exit 1; }}
echo trial >/usr/hornet-probe && test -e {CHANGES}/hornet-probe && rm /usr/hornet-probe
"""


def usr_probes() -> list[Probe]:
    """How /usr is mounted in a guest with a writable root, and whether a change reaches the layer of changes."""
    return [Probe(STATE, SCRIPT)]


@check("usr.guest", Subject.GUEST, proves=["usr-layers"])
def guest_problems(facts: ProbeResults) -> list[str]:
    """A compressed /usr that is not mounted with its changes, or that cannot be changed."""
    answer = facts[STATE]
    if answer.ok and (answer.output.strip() == PLAIN or f"upperdir={CHANGES}," in answer.output):
        return []
    return [f"/usr: expected an overlay of {USR_FILE} with changes in {CHANGES}, and to write to it: {answer}"]


@check("usr.image", Subject.IMAGE, proves=["usr-layers"])
def image_problems(tree: ImageTree) -> list[str]:
    """Changes that were made to another compressed /usr than the one in the image."""
    if USR_FILE not in tree.entries:
        return []
    of_changes, in_usr = tree.text(ID_OF_CHANGES), tree.text(f"{USR_FILE}{ID_IN_USR}")
    if of_changes and of_changes == in_usr:
        return []
    return [
        f"{CHANGES}: made to the /usr {_short(of_changes)}, but {USR_FILE} is {_short(in_usr)}: the guest will not boot"
    ]


@check("usr.kernel", proves=["usr-layers"])
def kernel_problems(config: KernelConfig) -> list[str]:
    """Flags that a kernel needs to mount a compressed /usr and does not have."""
    missing = [verdict for verdict in check_flags(config, KERNEL_SYMBOLS, ()) if not verdict.ok]
    return [f"CONFIG_{v.symbol}: {v.found}, expected y: the kernel cannot mount {USR_FILE}" for v in missing]


def _short(identity: str | None) -> str:
    return f"{identity[:12]}…" if identity else "of unknown identity"
