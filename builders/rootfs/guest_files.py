"""Writes the builder's own files to an image: configuration and start scripts from the spec, applet links."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

import jinja2

from builders.rootfs.toolbox import Toolbox
from hornet.spec.model import Spec
from hornet.spec.network import Network
from hornet.spec.rules import Health, Secrets
from hornet.spec.snapshots import SnapshotFiles

FILES = Path(__file__).with_name("files")
LINKS = Path(__file__).with_name("links.toml")
DIRECTORIES = ("proc", "sys", "dev", "run", "tmp", "root", "home", "mnt", "var/log", "var/tmp", "var/lib", "opt", "srv")
SECRET = ("etc/shadow",)
APPLET_DIRECTORIES = ("usr/bin", "usr/sbin")
CERTIFICATES = "usr/share/ca-certificates/mozilla"
CERTIFICATE_BUNDLE = "etc/ssl/certs/ca-certificates.crt"


@dataclass(frozen=True)
class GuestValues:
    """The variables of the templates below files/."""

    network: Network
    secrets: Secrets
    health: Health
    snapshot: SnapshotFiles
    agent_vsock_port: int
    tier_name: str
    title: str
    ssh_server: str
    shell: str
    init_command: str

    @classmethod
    def of_tier(cls, spec: Spec, tier_name: str) -> GuestValues:
        tier = spec.tier(tier_name)
        command = spec.inits[tier.init].command
        guest = (spec.network, spec.secrets, spec.health, spec.snapshot, spec.firecracker.agent_vsock_port)
        return cls(*guest, tier_name, tier.title, tier.ssh_server, tier.shell, command)


def write_guest_files(name: str, values: GuestValues, root: Path) -> list[Path]:
    """Render the directory `name` of builders/rootfs/files/ into an image tree and add its links.

    The executable bit is kept. Returns the files that were written.
    """
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
    variables = {field: getattr(values, field) for field in values.__dataclass_fields__}
    written = []
    for source in sorted((FILES / name).rglob("*")):
        inside = source.relative_to(FILES / name)
        target = root / inside
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_file():
            # Replace a package's symbolic link; do not write through it.
            target.unlink(missing_ok=True)
            target.write_text(environment.from_string(source.read_text()).render(variables))
            written.append(target)
            executable = source.stat().st_mode & 0o100
            target.chmod(0o755 if executable else 0o600 if str(inside) in SECRET else 0o644)
    for inside, destination in tomllib.loads(LINKS.read_text()).get(name, {}).items():
        link = root / inside
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(destination)
    return written


def make_directories(root: Path) -> None:
    """Create mount points and the directories that programs expect."""
    for name in DIRECTORIES:
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in ("tmp", "var/tmp"):
        (root / name).chmod(0o1777)
    (root / "root").chmod(0o700)
    links = {"var/run": "/run", "etc/mtab": "/proc/self/mounts", "etc/machine-id": "/run/machine-id"}
    for link, target in links.items():
        (root / link).parent.mkdir(parents=True, exist_ok=True)
        (root / link).unlink(missing_ok=True)
        (root / link).symlink_to(target)


def bundle_certificates(packages: Path, root: Path) -> Path:
    """Write all of Mozilla's certificate authorities to one file, in order of name, as update-ca-certificates does."""
    bundle = root / CERTIFICATE_BUNDLE
    bundle.parent.mkdir(parents=True, exist_ok=True)
    bundle.write_text("".join(path.read_text() for path in sorted((packages / CERTIFICATES).glob("*.crt"))))
    # OpenSSL's default paths.
    openssl = root / "usr/lib/ssl"
    openssl.mkdir(parents=True, exist_ok=True)
    for name, target in {"certs": "/etc/ssl/certs", "cert.pem": f"/{CERTIFICATE_BUNDLE}"}.items():
        (openssl / name).symlink_to(target)
    (openssl / "openssl.cnf").symlink_to("/etc/ssl/openssl.cnf")
    return bundle


def link_applets(packages: Toolbox, root: Path) -> None:
    """Link every BusyBox applet unless a real program has its name."""
    for applet in packages.run("busybox", "--list-full").split():
        path = applet if applet.startswith("usr/") else f"usr/{applet}"
        taken = any(
            (root / directory / Path(path).name).is_symlink() or (root / directory / Path(path).name).exists()
            for directory in APPLET_DIRECTORIES
        )
        if not taken and Path(path).parent.as_posix() in APPLET_DIRECTORIES:
            (root / path).symlink_to("/usr/bin/busybox")
