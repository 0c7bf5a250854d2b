"""The kernel builder: small and loadable files, pinned sources, verified flags, nothing half-written."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import example, given, settings
from hypothesis import strategies as st

import builders.kernel
from builders.kernel import CompileProgress, KernelArtifact, build_kernel, expected_objects
from builders.kernel.configure import verify
from builders.kernel.elf import PADDING_MIN_BYTES, check_loadable, strip_padding
from builders.kernel.source import find_source
from hornet.errors import BuildError, CommandError, HornetError, HostError, SpecError
from hornet.formats.kconfig import KernelConfig, read_config
from hornet.host.progress import Progress
from hornet.host.workspace import Workspace
from hornet.spec.model import Spec, load_spec
from tests.support.kernel_samples import MAIN, Load, Sample, write_tree

SPEC = load_spec()
QUIET = Progress(io.StringIO())


def memory_of(path: Path) -> dict[int, bytes]:
    """What a loader puts into memory: address → the bytes of a stretch without gaps; int3 padding as zeros."""
    stretches: dict[int, bytes] = {}
    with path.open("rb") as stream:
        for load in ELFFile(stream).iter_segments("PT_LOAD"):
            data = load.data() + bytes(load["p_memsz"] - load["p_filesz"])
            before = next((a for a, d in stretches.items() if a + len(d) == load["p_paddr"]), None)
            if before is None:
                stretches[load["p_paddr"]] = data
            else:
                stretches[before] += data
    return stretches


# --- the vmlinux file ------------------------------------------------------------------------------------------------

chunks = st.one_of(
    st.binary(min_size=1, max_size=40),
    st.integers(1, 3 * PADDING_MIN_BYTES).map(bytes),
    st.integers(1, 3 * PADDING_MIN_BYTES).map(lambda size: b"\xcc" * size),
)
contents = st.lists(chunks, max_size=6).map(b"".join)


@settings(deadline=None)
@example(bytes(3663) + b"\xcc" * PADDING_MIN_BYTES + bytes(433), b"", 0)
@given(contents, contents, st.integers(0, 3 * PADDING_MIN_BYTES))
def test_stripping_keeps_what_is_loaded(
    tmp_path_factory: pytest.TempPathFactory, a: bytes, b: bytes, zeros: int
) -> None:
    directory = tmp_path_factory.mktemp("elf")
    loads = (Load(0x1000000, b"\x90" * 32 + a), Load(0x2000000, b"data" + b, zeros, flags=6))
    original = Sample(loads).write(directory / "original")
    strip_padding(original, directory / "stripped")
    check_loadable(directory / "stripped")
    before, after = memory_of(original), memory_of(directory / "stripped")
    assert before.keys() == after.keys()
    assert after[0x2000000] == before[0x2000000], "int3 outside of code is data"
    for found, expected in zip(after[0x1000000], before[0x1000000], strict=True):
        assert found == expected or (expected, found) == (0xCC, 0)
    no_run = bytes(PADDING_MIN_BYTES)
    # Within a segment: the end of one and the beginning of the next may make a run that nothing can be done about.
    with (directory / "stripped").open("rb") as stream:
        assert all(no_run not in load.data() for load in ELFFile(stream).iter_segments("PT_LOAD"))


def test_a_sound_kernel_is_described(tmp_path: Path) -> None:
    found = check_loadable(Sample().write(tmp_path / "vmlinux"))
    assert (found.entry, found.pvh_entry, found.segments, found.end) == (0x1000000, 0x1000010, 1, 0x1000040)


CODE = Load(0x1000000, b"\x90" * 64)
BROKEN = {
    "32 bits are refused by the parser": (Sample(elf_class=1), "no sound ELF|class is 32"),
    "another processor": (Sample(machine=183), "machine is 183, expected 62"),
    "position independent": (Sample(elf_type=3), "type is 3, expected 2"),
    "nothing to load": (Sample(loads=()), "no PT_LOAD"),
    "below 1 MiB": (Sample((Load(0x80000, b"\x90" * 64),), entry=0x80000), "below 0x100000"),
    "overlap": (Sample((CODE, Load(0x1000020, b"x" * 64))), "overlaps"),
    "more in the file than in memory": (Sample((Load(0x1000000, b"\x90" * 64, file_bytes=65),)), "only 64 in memory"),
    "entry outside": (Sample(entry=0x3000000), "entry point 0x3000000"),
    "entry in data": (Sample((Load(0x1000000, b"\x90" * 64, flags=6),)), "entry point 0x1000000"),
    "no PVH note": (Sample(pvh_entry=None), "no PVH note"),
    "a note that loaders misread": (Sample(note_align=1), "no PVH note"),
    "PVH entry outside": (Sample(pvh_entry=0x10), "PVH entry point 0x10"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_kernel_that_no_loader_takes_is_refused(name: str, tmp_path: Path) -> None:
    sample, words = BROKEN[name]
    with pytest.raises(BuildError, match=words):
        check_loadable(sample.write(tmp_path / "vmlinux"))


def test_a_cut_kernel_is_refused(tmp_path: Path) -> None:
    whole = Sample((Load(0x1000000, b"\x90" * 9000),)).write(tmp_path / "vmlinux")
    strip_padding(whole, tmp_path / "stripped")
    (tmp_path / "cut").write_bytes((tmp_path / "stripped").read_bytes()[:5000])
    with pytest.raises(BuildError, match="cut off"):
        check_loadable(tmp_path / "cut")


@pytest.mark.parametrize("data", [b"", b"hello", b"\x7fELF", b"\x7fELF\x02\x01\x01" + bytes(60)])
def test_what_is_no_elf_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(BuildError, match=r"no sound ELF file|no PT_LOAD"):
        check_loadable(tmp_path / "file")


def test_what_is_no_elf_is_not_stripped(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"hello")
    with pytest.raises(BuildError, match="no sound ELF file"):
        strip_padding(tmp_path / "file", tmp_path / "out")
    assert not (tmp_path / "out").exists()


# --- flags -----------------------------------------------------------------------------------------------------------


def test_every_flag_of_every_group_is_verified() -> None:
    kernel = SPEC.kernel
    wanted = [*kernel.required_symbols, *kernel.extra_symbols]
    good = KernelConfig(dict.fromkeys(wanted, "y"))
    good.version = "6.1.99"
    verify(good, kernel, "")
    for symbol in wanted:
        broken = KernelConfig(good | {symbol: "m"})
        broken.version = good.version
        with pytest.raises(BuildError, match=rf"1 of .*\n  CONFIG_{symbol}: expected y, found m"):
            verify(broken, kernel, "")
    for symbol in kernel.removed_symbols:
        broken = KernelConfig(good | {symbol: "y"})
        broken.version = good.version
        with pytest.raises(BuildError, match=f"CONFIG_{symbol}: expected n, found y"):
            verify(broken, kernel, "")


# --- sources ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "home")


@pytest.fixture
def mirror(tmp_path: Path) -> tuple[Path, str]:
    """A mirror directory with a miniature linux-6.1.99.tar.xz, and that file's SHA-256."""
    write_tree(tmp_path / "linux-6.1.99")
    archive = tmp_path / "mirror" / "v6.x" / "linux-6.1.99.tar.xz"
    archive.parent.mkdir(parents=True)
    subprocess.run(["tar", "-C", tmp_path, "-cJf", archive, "linux-6.1.99"], check=True, timeout=60)
    return tmp_path / "mirror", hashlib.sha256(archive.read_bytes()).hexdigest()


def spec_from(source: dict[str, str], **kernel: str) -> Spec:
    data = SPEC.model_dump()
    data["kernel"] |= {"source": "mine", "sources": {"mine": source}, **kernel}
    return Spec.model_validate(data)


def spec_with(url: str, sha256: str) -> Spec:
    return spec_from({"kind": "kernel.org", "version": "6.1.99", "sha256": sha256}, kernel_org_mirror=url)


@pytest.fixture
def http_mirror(mirror: tuple[Path, str]) -> Iterator[str]:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(mirror[0]))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_pinned_archive_comes_from_a_mirror_over_http(
    mirror: tuple[Path, str], http_mirror: str, workspace: Workspace, tmp_path: Path
) -> None:
    spec = spec_with(http_mirror, mirror[1])
    source = find_source(spec, workspace, QUIET, None)
    for name in ("first", "second, without the mirror"):
        directory = tmp_path / name
        directory.mkdir()
        source.unpack(directory, tmp_path / "log")
        assert (directory / "init/Kconfig").exists()
        (mirror[0] / "v6.x/linux-6.1.99.tar.xz").unlink(missing_ok=True)


def test_a_wrong_archive_is_refused_and_not_kept(mirror: tuple[Path, str], workspace: Workspace) -> None:
    spec = spec_with(f"file://{mirror[0]}", "0" * 64)
    with pytest.raises(BuildError, match=f"SHA-256 is {mirror[1]}, the spec pins 0000"):
        build_kernel(spec, workspace, QUIET)
    assert_nothing_left(workspace)
    assert list((workspace.cache / "kernel").iterdir()) == []


@pytest.mark.parametrize("url", ["file:///nowhere", "http://127.0.0.1:1"])
def test_an_unreachable_mirror_is_named(url: str, workspace: Workspace) -> None:
    with pytest.raises(BuildError, match=f"{url}/v6.x/linux-6.1.99.tar.xz") as caught:
        build_kernel(spec_with(url, "0" * 64), workspace, QUIET)
    assert "kernel_org_mirror" in caught.value.hint
    assert_nothing_left(workspace)


@pytest.fixture
def apt_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A private apt that knows one package: linux-source-9.9 with a miniature kernel."""
    write_tree(tmp_path / "linux-source-9.9")
    package = tmp_path / "package"
    (package / "usr/src").mkdir(parents=True)
    (package / "DEBIAN").mkdir()
    (package / "DEBIAN").chmod(0o755)  # dpkg-deb insists on it, whatever the umask
    control = "Package: linux-source-9.9\nVersion: 1:9.9.1-2\nArchitecture: all\nMaintainer: x <x@x>\nDescription: x\n"
    (package / "DEBIAN/control").write_text(control)
    archive = package / "usr/src/linux-source-9.9.tar.xz"
    subprocess.run(["tar", "-C", tmp_path, "-cJf", archive, "linux-source-9.9"], check=True, timeout=60)
    repository = tmp_path / "repository"
    repository.mkdir()
    subprocess.run(["dpkg-deb", "--build", package, repository / "linux.deb"], check=True, timeout=60)
    deb = (repository / "linux.deb").read_bytes()
    where = f"Filename: ./linux.deb\nSize: {len(deb)}\nSHA256: {hashlib.sha256(deb).hexdigest()}\n"
    (repository / "Packages").write_text(control + where)
    (tmp_path / "sources.list").write_text(f"deb [trusted=yes] file:{repository} ./\n")
    for directory in ("lists/partial", "cache/archives/partial"):
        (tmp_path / "apt" / directory).mkdir(parents=True)
    (tmp_path / "apt.conf").write_text(
        f'Dir::Etc::sourcelist "{tmp_path}/sources.list"; Dir::Etc::sourceparts "-";'
        f'Dir::State::lists "{tmp_path}/apt/lists"; Dir::Cache "{tmp_path}/apt/cache"; APT::Sandbox::User "root";'
    )
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    subprocess.run(["apt-get", "update"], check=True, timeout=60)


@pytest.mark.usefixtures("apt_repository")
def test_a_debian_package_that_is_not_installed_comes_from_apt(workspace: Workspace) -> None:
    spec = spec_from({"kind": "debian", "package": "linux-source-9.9", "suite": "bookworm"})
    assert find_source(spec, workspace, QUIET, None).identity["version"] == "1:9.9.1-2"
    assert build_kernel(spec, workspace, QUIET).version == "6.1.99"


@pytest.mark.usefixtures("apt_repository")
def test_a_debian_package_that_nobody_knows_is_named(workspace: Workspace, tmp_path: Path) -> None:
    """Neither the host's apt nor the suite that is said to have it: here a mirror that is not there."""
    spec = spec_from({"kind": "debian", "package": "linux-source-9.8", "suite": "bookworm"})
    debian = spec.rootfs.debian.model_copy(update={"mirror": f"file://{tmp_path}/mirror"})
    spec = spec.model_copy(update={"rootfs": spec.rootfs.model_copy(update={"debian": debian})})
    with pytest.raises(BuildError, match=r"linux-source-9\.8"):
        build_kernel(spec, workspace, QUIET)
    assert not list((workspace.cache / "kernel").glob("linux-source-9.8-bookworm"))


def test_a_source_without_pin_is_no_source(tmp_path: Path) -> None:
    overlay = tmp_path / "team.toml"
    overlay.write_text('[kernel.sources.mine]\nkind = "kernel.org"\nversion = "6.6.1"\n')
    with pytest.raises(SpecError, match=r"kernel\.sources\.mine.*sha256"):
        load_spec(overlays=[overlay])


def test_an_unknown_source_lists_the_known_ones(workspace: Workspace) -> None:
    with pytest.raises(SpecError, match="neither a kernel source") as caught:
        build_kernel(SPEC, workspace, QUIET, source="gentoo")
    assert all(name in caught.value.hint for name in SPEC.kernel.sources)


def test_a_local_tree_is_known_by_its_content(workspace: Workspace, tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "tree")

    def identity() -> dict[str, str]:
        return find_source(SPEC, workspace, QUIET, str(tree)).identity

    before = identity()
    (tree / ".git").mkdir()
    (tree / ".git/HEAD").write_text("x")
    assert identity() == before
    (tree / "main.c").write_text("int x;")
    assert identity() != before


# --- the whole build, with a miniature kernel ------------------------------------------------------------------------


def assert_nothing_left(workspace: Workspace) -> None:
    kernels = workspace.build / "kernel"
    assert [path for path in kernels.iterdir() if path.is_dir() and not path.name.endswith(".failed")] == []


def build(workspace: Workspace, tree: Path, spec: Spec = SPEC) -> KernelArtifact:
    return build_kernel(spec, workspace, QUIET, source=str(tree))


@pytest.mark.requirement("kernel-build")
def test_a_kernel_is_built_once_and_the_same_elsewhere(workspace: Workspace, tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "tree")
    built = build(workspace, tree)
    assert built.version == "6.1.99"
    assert read_config(built.config)["VIRTIO_BLK"] == "y"
    assert built.vmlinux.stat().st_size < 10_000, "1 MiB of alignment is gone"
    assert sorted(path.name for path in built.directory.iterdir()) == [
        "System.map",
        "build.log",
        "config",
        "inputs.json",
        "vmlinux",
    ]
    assert not (tree / ".config").exists(), "the original tree is left alone"
    times = {path: path.stat().st_mtime_ns for path in built.directory.iterdir()}
    assert build(workspace, tree) == built
    assert {path: path.stat().st_mtime_ns for path in built.directory.iterdir()} == times
    other = build(Workspace(tmp_path / "other" / "home"), tree)
    assert other.key == built.key
    assert other.vmlinux.read_bytes() == built.vmlinux.read_bytes()


def test_another_flag_makes_another_kernel(workspace: Workspace, tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "tree")
    overlay = tmp_path / "team.toml"
    overlay.write_text('[kernel.extras]\nmine = ["SWAP"]\n')
    assert build(workspace, tree).key != build(workspace, tree, load_spec(overlays=[overlay])).key


def test_a_flag_that_the_kernel_drops_fails_the_build(workspace: Workspace, tmp_path: Path) -> None:
    overlay = tmp_path / "team.toml"
    overlay.write_text('[kernel.extras]\nmine = ["DROPPED"]\n')
    with pytest.raises(BuildError, match="CONFIG_DROPPED: expected y, found absent"):
        build(workspace, write_tree(tmp_path / "tree"), load_spec(overlays=[overlay]))
    assert_nothing_left(workspace)


def test_a_compiler_error_is_shown_and_its_log_kept(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="#error broken"):
        build(workspace, write_tree(tmp_path / "tree", main="#error broken\n"))
    assert_nothing_left(workspace)
    [log] = (workspace.build / "kernel").glob("*.failed/build.log")
    assert "#error broken" in log.read_text()


def test_a_kernel_that_does_not_load_is_not_published(workspace: Workspace, tmp_path: Path) -> None:
    without_note = MAIN.replace("8, 18\\n", "8, 17\\n").replace("BUILDER", '"tree"')
    assert without_note != MAIN.replace("BUILDER", '"tree"')
    with pytest.raises(BuildError, match="no PVH note"):
        build(workspace, write_tree(tmp_path / "tree", main=without_note))
    assert_nothing_left(workspace)


def test_a_patch_that_does_not_fit_is_named(workspace: Workspace, tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "tree")
    (tree / "init/Kconfig").write_text("config OTHER\n")
    with pytest.raises(CommandError, match=r"expert-without-debug-kernel\.patch"):
        build(workspace, tree)
    assert_nothing_left(workspace)


def test_an_interrupted_build_leaves_nothing(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(builders.kernel, "strip_padding", interrupt)
    with pytest.raises(KeyboardInterrupt):
        build(workspace, write_tree(tmp_path / "tree"))
    assert_nothing_left(workspace)


def test_missing_tools_and_their_packages_are_named(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(HostError, match="gcc, ld, make") as caught:
        build_kernel(SPEC, workspace, QUIET)
    assert "binutils" in caught.value.hint


def test_a_full_disk_is_found_before_the_work(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builders.kernel, "NEEDED_BYTES", 1 << 60)
    with pytest.raises(HornetError, match="MB free, a kernel build takes"):
        build(workspace, write_tree(tmp_path / "tree"))
    assert_nothing_left(workspace)


# --- progress --------------------------------------------------------------------------------------------------------


def test_compiling_shows_the_share_that_is_done(workspace: Workspace) -> None:
    log = workspace.build / "kernel/0123/build.log"
    log.parent.mkdir(parents=True)
    log.write_text("  CC      init/main.o\n  AS      arch/entry.o\n  AR      built-in.a\n  CC      mm/slab.o\n" * 10)
    assert expected_objects(workspace) == 30
    progress = Progress(io.StringIO())
    compiled = CompileProgress(progress, expected_objects(workspace))
    for _ in range(6):
        compiled("  CC      mm/slab.o")
        compiled("  AR      mm/built-in.a")
    assert progress._detail == "20 %: 6 of about 30 objects, mm/slab.o"
    for _ in range(60):
        compiled("  CC      mm/slab.o")
    assert progress._detail.startswith("99 %: 66 of about 30 objects"), "never done before it is"
