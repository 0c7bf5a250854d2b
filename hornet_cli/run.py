"""`hornetos run`: the main job. Build or reuse, boot, snapshot, restore, judge, measure, report."""

from __future__ import annotations

import re
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from builders.distros import DEFAULT_DISTRO, DISTROS
from hornet.errors import HostError
from hornet.host.durable import write_file
from hornet.host.in_use import hold
from hornet.installation import IN_CHECKOUT, SOURCE, TESTS
from hornet.spec.rootfs import BASELINE
from hornet.vmm.registry import LANES_HELP
from hornet_cli.baseline import baseline_directory
from hornet_cli.context import Settings, settings
from hornet_cli.failures import FAILURES
from hornet_cli.fleet import choose_lane
from hornet_cli.given import Given, ImageOption, KernelOption, SnapshotOption, SshKeyOption
from hornet_cli.judging import (
    PolicyOption,
    RequireKvm,
    WaiversOption,
    demands_on,
    show_decision,
    show_quick,
    show_rerun,
)
from hornet_cli.matrix import MATRIX_HELP, start_matrix
from hornet_cli.printer import AsJson, say, show
from hornet_cli.pytest_environment import pytest_environment
from hornet_cli.report import Baseline, run_directory
from hornet_cli.subprocesses import call

if TYPE_CHECKING:
    from hornet.results.gate import Demands
    from hornet.results.run import Run

# In the checkout, pytest's settings stand in pyproject.toml; in an installation the rest is up to the user's own.
PYTEST_SETTINGS = (
    ("-c", str(SOURCE / "pyproject.toml"))
    if IN_CHECKOUT
    else (
        "--import-mode=importlib",
        "--timeout=600",
        "--benchmark-columns=min,median,max,rounds",
        "--benchmark-time-unit=ms",
        "--benchmark-group-by=func",
    )
)


QUICK_SUITE = "conformance"
RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class OptionalRun(TyperCommand):
    """A command whose option --rerun-failed may stand alone: then it means the latest run."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        for place, word in enumerate(args):
            if word == "--rerun-failed" and (place + 1 == len(args) or args[place + 1].startswith("-")):
                args = [*args[:place], f"{word}=latest", *args[place + 1 :]]
        return super().parse_args(ctx, args)


def run(
    ctx: typer.Context,
    tier: Annotated[
        str | None,
        typer.Option(
            help="The tier to build and judge: micro, standard, dev; default: that of --snapshot, else standard."
        ),
    ] = None,
    distro: Annotated[
        str, typer.Option(help=f"What to build the image from: {', '.join(DISTROS)}; {BASELINE}: to compare with.")
    ] = DEFAULT_DISTRO,
    snapshot: SnapshotOption = None,
    image: ImageOption = None,
    kernel: KernelOption = None,
    ssh_key: SshKeyOption = None,
    lane: Annotated[str | None, typer.Option(help=f"{LANES_HELP} (default: the best one that works here).")] = None,
    life: Annotated[
        str, typer.Option(help="Judge guests that were `restored` from the snapshot, or `booted`.")
    ] = "restored",
    require_kvm: RequireKvm = False,
    baseline: Baseline = None,
    policy: PolicyOption = None,
    waivers: WaiversOption = None,
    evidence: Annotated[
        str, typer.Option(help="Keep console and logs of the VMs of failed tests (`failures`) or of all tests (`all`).")
    ] = "failures",
    keep_vms: Annotated[
        bool, typer.Option("--keep-vms", help="Leave the VMs of failed tests running; `hornetos vm down` ends them.")
    ] = False,
    pause_on_failure: Annotated[
        bool, typer.Option("--pause-on-failure", help="Wait for Enter at the first failure, with its VMs running.")
    ] = False,
    in_lab: Annotated[
        bool, typer.Option("--lab", help="Run in the lab, an emulated host with KVM; it judges no times or densities.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only what one boot and two restores answer; exit code 0 is impossible.")
    ] = False,
    suite: Annotated[
        list[str] | None,
        typer.Option(help="Only this folder of tests; repeatable. What is left out counts as not run. Default: all."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The name of the run; default: the time.")] = None,
    rerun_failed: Annotated[
        str | None, typer.Option(help="Repeat what failed or was not judged in a run (default: latest); in a new run.")
    ] = None,
    matrix: Annotated[list[str] | None, typer.Option(metavar="AXES", help=MATRIX_HELP)] = None,
    as_json: AsJson = False,
) -> None:
    """Build or reuse kernel, image and snapshot, or take those given; judge and measure all of it; report; decide.

    Exit code 0 if every requirement that this host can judge holds, 1 if one that blocks does not, 2 if that could not
    be judged: what did not run counts as not judged.
    """
    from hornet.host.conditions import require_architecture
    from hornet.host.facts import require_root
    from hornet.host.tools import all_tools, require_tools
    from hornet.results.gate import decide
    from hornet.results.policy import POLICY_FILE, policy_text
    from hornet.results.run import load_run
    from hornet.results.run_info import RUN_FILE
    from hornet.results.waivers import WAIVERS_FILE
    from hornet.vm.life import LIVES
    from hornet.vmm.registry import lane_named, vmm_programs
    from hornet_cli.lab import end_with, run_command
    from lab.session import this_command_there

    mine = settings(ctx)
    require_architecture()
    require_root()
    require_tools(all_tools(vmm_programs()))
    given = Given(snapshot, image, kernel, ssh_key)
    if as_json and not matrix:
        raise typer.BadParameter("--json: only with --matrix; `hornetos gate --json` prints the decision on a run")
    single = {"lanes": lane, "tiers": tier, "lives": life}
    tier = given.tier(tier)
    mine.spec.tier(tier)
    # Wrong options are refused before the work of minutes.
    if lane:
        lane_named(lane)
    _check_distro(distro, given)
    if life not in LIVES:
        raise typer.BadParameter(f"--life {life}: expected one of: {', '.join(LIVES)}")
    if in_lab and (keep_vms or pause_on_failure):
        raise typer.BadParameter("--lab: it ends with the run, so no VM can be kept: leave the other option out")
    suites = _suites(suite, quick=quick)
    debugging = _debugging_options(evidence, keep_vms, pause_on_failure)
    before = baseline_directory(mine, baseline)
    first = _first_run(mine, rerun_failed, tier, quick=quick) if rerun_failed else None
    demands = demands_on(mine.workspace.reports, policy, waivers, require_kvm=require_kvm)
    if matrix:
        refused: dict[str, object] = {
            "--snapshot": snapshot,
            "--kernel": kernel,
            "--baseline": baseline,
            "--name": name,
        }
        refused |= {"--rerun-failed": first, "--keep-vms": keep_vms, "--pause-on-failure": pause_on_failure}
        if beside := [option for option, value in refused.items() if value]:
            raise typer.BadParameter(f"{', '.join(beside)}: not with --matrix, which makes runs of its own")
        files = {"policy": policy, "waivers": waivers}
        words = [f"--{option}={path.resolve()}" for option, path in files.items() if path]
        words += [f"--distro={distro}", f"--evidence={evidence}", *given.arguments()]
        builds = None if given.complete else distro
        words += [option for option, wanted in {"--quick": quick, "--require-kvm": require_kvm}.items() if wanted]
        start_matrix(mine, matrix, single, demands, suite, words, distro=builds, in_lab=in_lab, as_json=as_json)
    vmlinux = kernel if given.complete else _build(mine, tier, distro, kernel)
    if in_lab:  # which has no network, so all is built by now
        end_with(run_command(mine, this_command_there("--lab")))
    if lane and vmlinux:
        choose_lane(mine, vmlinux, lane)
    directory = _new_directory(mine, name)
    write_file(directory / POLICY_FILE, policy_text(demands.policy))
    if waivers:
        write_file(directory / WAIVERS_FILE, waivers.read_text(encoding="utf-8"))
    arguments = [*PYTEST_SETTINGS, *(str(TESTS / suite) for suite in suites)]
    arguments += ["--quick"] if quick else ["--benchmark-autosave"]
    arguments += [f"--rerun-of={first.directory}"] if first else []
    arguments += [f"--tier={tier}", f"--run-dir={directory}", *given.arguments()]
    arguments += [f"--distro={distro}"] if distro != DEFAULT_DISTRO else []
    arguments += ["-o", f"cache_dir={mine.workspace.directory('cache', 'pytest')}"]  # the checkout may be read-only
    arguments += debugging
    arguments += [f"--lane={lane}"] if lane else []
    arguments += [f"--life={life}"]
    arguments += ["--require-kvm"] if require_kvm else []
    arguments += [f"--spec={mine.spec_path.resolve()}"] if mine.spec_path else []
    arguments += [f"--overlay={overlay.resolve()}" for overlay in mine.overlays]
    environment, left_out = pytest_environment()
    for setting in left_out:
        say(f"not passed on to pytest, because it may change what is tested: {setting}")
    call([sys.executable, "-m", "pytest", "-q", *arguments], environment)
    if not (directory / RUN_FILE).exists():  # pytest did not even begin
        shutil.rmtree(directory)
        raise typer.Exit(2)
    _report(mine, directory, demands, before, latest=distro != BASELINE)
    found = load_run(directory)
    decision = decide(mine.spec, found, demands, load_run(before) if before else None)
    showing = show_rerun if first else show_quick if quick else show_decision
    showing(found, decision)
    raise typer.Exit(decision.answer.exit_code)


def _check_distro(distro: str, given: Given) -> None:
    """Raises BadParameter for an unknown one, and for one beside an image that exists already."""
    if distro not in (*DISTROS, BASELINE):
        raise typer.BadParameter(f"--distro {distro}: expected one of: {', '.join((*DISTROS, BASELINE))}")
    if distro != DEFAULT_DISTRO and given.complete:
        raise typer.BadParameter(f"--distro {distro}: it says what to build: leave --image and --snapshot out")


def _suites(chosen: list[str] | None, *, quick: bool) -> list[str]:
    """The folders of tests that run. Raises BadParameter for an unknown one, and for a choice beside --quick."""
    from hornet.results.collected import IMAGE_SUITES

    if quick and chosen:
        raise typer.BadParameter(f"--quick runs {QUICK_SUITE}: leave --suite out")
    for name in chosen or ():
        if name not in IMAGE_SUITES:
            raise typer.BadParameter(f"--suite {name}: expected one of: {', '.join(IMAGE_SUITES)}")
    wanted = chosen or ([QUICK_SUITE] if quick else IMAGE_SUITES)
    return [suite for suite in IMAGE_SUITES if suite in wanted and (TESTS / suite).is_dir()]


def _debugging_options(evidence: str, keep_vms: bool, pause_on_failure: bool) -> list[str]:
    """The options for pytest. Raises BadParameter for one that cannot work here."""
    from hornet.vm.evidence import WHOSE

    if evidence not in WHOSE:
        raise typer.BadParameter(f"--evidence {evidence}: expected one of: {', '.join(WHOSE)}")
    if pause_on_failure and not sys.stdin.isatty():
        raise typer.BadParameter("--pause-on-failure: standard input is not a terminal; use --keep-vms")
    flags = {"--keep-vms": keep_vms, "--pause-on-failure": pause_on_failure, "--full-trace": FAILURES.debug}
    return [f"--evidence={evidence}", *(flag for flag, wanted in flags.items() if wanted)]


def _first_run(mine: Settings, name: str, tier: str, *, quick: bool) -> Run:
    """The run whose failed tests are repeated. Raises HostError if they can't be: other rules, or nothing to repeat."""
    from hornet.results.rerun import failed_or_missing
    from hornet.results.run import load_run

    if quick:
        raise HostError("--quick and --rerun-failed exclude each other", "use one of them")
    found = load_run(run_directory(mine.workspace, name))
    if found.tier != tier:
        raise HostError(
            f"run {found.name}: of tier {found.tier or 'unknown'}, this one is of {tier}",
            f"add --tier {found.tier}" if found.tier else "run it anew",
        )
    if found.spec() != mine.spec:
        overlays = ", ".join(found.info.overlays) if found.info else ""
        raise HostError(
            f"run {found.name}: its specification differs from this one's",
            f"give its --spec and --overlay (it had: {overlays or 'no overlay'}), or run it anew",
        )
    if not failed_or_missing(found):
        raise HostError(f"run {found.name}: every test passed, so there is nothing to repeat", "run it anew")
    return found


def _build(mine: Settings, tier: str, distro: str, given: Path | None) -> Path:
    """Build before pytest starts, so that a failed build is one error, not one per test; returns the kernel.

    given: the kernel, if it need not be built.
    """
    from builders.images import build_image
    from builders.kernel import build_kernel

    if not given:
        kernel = build_kernel(mine.spec, mine.workspace, mine.progress)
        mine.progress.say(f"kernel: Linux {kernel.version}, {kernel.vmlinux}")
    image = build_image(mine.spec, mine.workspace, mine.progress, tier=tier, distro=distro)
    mine.progress.say(f"rootfs: {image.manifest['tier']}, {image.manifest['size_mb']:.1f} MB, {image.image}")
    return given or kernel.vmlinux


def _new_directory(mine: Settings, chosen: str | None = None) -> Path:
    """A directory that no other run has. Raises HostError if a run of the chosen name exists, or the name is none."""
    name = chosen or time.strftime("%Y%m%d-%H%M%S")
    if not RUN_NAME.fullmatch(name):
        raise HostError(f"{name!r} is no name", "use letters, digits, dots, hyphens and underscores")
    names = (name,) if chosen else (name, *(f"{name}-{number}" for number in range(2, 100)))
    for directory in (mine.workspace.path("reports", each) for each in names):
        with suppress(FileExistsError):
            directory.mkdir()
            hold(directory)
            return directory
    if chosen:
        raise HostError(f"run {name}: exists", "use another --name")
    raise HostError(f"{mine.workspace.reports / name}: a hundred runs began in this second", "run it again")


def _report(mine: Settings, directory: Path, demands: Demands, before: Path | None, *, latest: bool) -> None:
    """Write the report. latest: whether this run is what `latest` names."""
    from reports import build_report, publish_latest, verdict_table
    from reports.terminal import as_table

    paths = build_report(directory, mine.spec, demands, baseline=before)
    if latest:
        publish_latest(directory)
    say()
    show(as_table(verdict_table(directory, mine.spec)))
    say(f"\nreport: {paths.html}")
