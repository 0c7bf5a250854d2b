"""The files that the builder adds to the packages' own: configuration from the spec, start scripts, applet links."""

from __future__ import annotations

from pathlib import Path

import jinja2

from hornet.proc import run
from hornet.spec import Spec

FILES = Path(__file__).with_name("files")
DIRECTORIES = ("proc", "sys", "dev", "run", "tmp", "root", "home", "mnt", "var/log", "var/tmp", "var/lib", "opt", "srv")
EXECUTABLE = (
    "etc/hornetos/start",
    "etc/hornetos/announce",
    "opt/hornetos/healthcheck.sh",
    "usr/lib/git-core/git-sh-i18n--envsubst",
)
SECRET = ("etc/shadow",)
APPLET_DIRECTORIES = ("usr/bin", "usr/sbin")
CERTIFICATES = "usr/share/ca-certificates/mozilla"
CERTIFICATE_BUNDLE = "etc/ssl/certs/ca-certificates.crt"


def write_guest_files(spec: Spec, tier: str, root: Path) -> None:
    """Render builders/rootfs/files/ into an image tree; every value comes from the spec."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
    values = {"network": spec.network, "tier": spec.tier(tier), "tier_name": tier}
    for source in sorted(path for path in FILES.rglob("*") if path.is_file()):
        name = str(source.relative_to(FILES))
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(environment.from_string(source.read_text()).render(values))
        target.chmod(0o755 if name in EXECUTABLE else 0o600 if name in SECRET else 0o644)


def make_directories(root: Path) -> None:
    """Mount points and the directories that programs expect."""
    for name in DIRECTORIES:
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in ("tmp", "var/tmp"):
        (root / name).chmod(0o1777)
    (root / "root").chmod(0o700)
    links = {"var/run": "/run", "etc/mtab": "/proc/self/mounts", "etc/machine-id": "/run/machine-id"}
    for link, target in links.items():
        (root / link).unlink(missing_ok=True)
        (root / link).symlink_to(target)


def bundle_certificates(packages: Path, root: Path) -> None:
    """All of Mozilla's certificate authorities in one file, in order of name: what update-ca-certificates makes."""
    bundle = root / CERTIFICATE_BUNDLE
    bundle.parent.mkdir(parents=True, exist_ok=True)
    bundle.write_text("".join(path.read_text() for path in sorted((packages / CERTIFICATES).glob("*.crt"))))
    # Where OpenSSL itself looks.
    openssl = root / "usr/lib/ssl"
    openssl.mkdir(parents=True, exist_ok=True)
    for name, target in {"certs": "/etc/ssl/certs", "cert.pem": f"/{CERTIFICATE_BUNDLE}"}.items():
        (openssl / name).symlink_to(target)
    (openssl / "openssl.cnf").symlink_to("/etc/ssl/openssl.cnf")


def link_applets(packages: Path, root: Path) -> None:
    """A link for every BusyBox applet whose name is not taken by a real program."""
    applets = run(["chroot", str(packages), "busybox", "--list-full"], timeout_s=20).output.split()
    for applet in applets:
        path = applet if applet.startswith("usr/") else f"usr/{applet}"
        taken = any(
            (root / directory / Path(path).name).is_symlink() or (root / directory / Path(path).name).exists()
            for directory in APPLET_DIRECTORIES
        )
        if not taken and Path(path).parent.as_posix() in APPLET_DIRECTORIES:
            (root / path).symlink_to("/usr/bin/busybox")
