"""The kernel builder: small and loadable files, pinned sources, verified flags, nothing half-written."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

import builders.kernel
from builders.kernel import CompileProgress, KernelArtifact, build_kernel, expected_objects
from builders.kernel.configure import verify
from hornet.errors import BuildError, CommandError, HornetError, HostError
from hornet.formats.kconfig import KernelConfig, read_config
from hornet.host.progress import Progress
from hornet.host.workspace import Workspace
from hornet.spec.model import Spec, load_spec
from tests.support.kernel_samples import MAIN, assert_nothing_left, write_tree

SPEC = load_spec()
QUIET = Progress(io.StringIO())


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


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "home")


# --- the whole build, with a miniature kernel ------------------------------------------------------------------------


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
        "sbom.cdx.json",
        "vmlinux",
    ]
    assert not (tree / ".config").exists(), "the original tree is left alone"

    def times() -> dict[str, int]:
        """Without inputs.json: its time is that of the last use."""
        return {path.name: path.stat().st_mtime_ns for path in built.directory.iterdir() if path.name != "inputs.json"}

    before = times()
    assert build(workspace, tree) == built
    assert times() == before
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
