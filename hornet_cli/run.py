"""`hornetos run`: the main job. Build or reuse, boot, snapshot, restore, judge, measure, report."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hornet.errors import HostError
from hornet.host.durable import write_file
from hornet.installation import IN_CHECKOUT, TESTS
from hornet.vmm.registry import LANES_HELP
from hornet_cli.context import Settings, settings
from hornet_cli.failures import FAILURES
from hornet_cli.fleet import choose_lane
from hornet_cli.judging import PolicyOption, RequireKvm, WaiversOption, demands_on, show_decision
from hornet_cli.printer import say, show
from hornet_cli.report import Baseline, run_directory
from hornet_cli.subprocesses import call

if TYPE_CHECKING:
    from hornet.results.gate import Demands

# In the checkout, pytest's settings stand in pyproject.toml; in an installation the rest is up to the user's own.
PYTEST_SETTINGS = (
    ()
    if IN_CHECKOUT
    else (
        "--import-mode=importlib",
        "--timeout=600",
        "--benchmark-columns=min,median,max,rounds",
        "--benchmark-time-unit=ms",
        "--benchmark-group-by=func",
    )
)


def run(
    ctx: typer.Context,
    tier: Annotated[str, typer.Option(help="The tier to build and judge: micro, standard or dev.")] = "standard",
    lane: Annotated[str | None, typer.Option(help=f"{LANES_HELP} (default: the best one that works here).")] = None,
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
) -> None:
    """Build or reuse kernel, image and snapshot; run conformance, network and perf; write the report; decide.

    Exit code 0 if every test of these suites passed and every target that this host can judge is met, 1 if not, 2 if
    that could not be judged: a test that did not run counts as not judged.
    """
    from hornet.host.facts import require_root
    from hornet.host.tools import all_tools, require_tools
    from hornet.results.collected import IMAGE_SUITES
    from hornet.results.gate import decide
    from hornet.results.policy import POLICY_FILE
    from hornet.results.run import load_run
    from hornet.results.waivers import WAIVERS_FILE
    from hornet.vmm.registry import lane_named, vmm_programs

    mine = settings(ctx)
    require_root()
    require_tools(all_tools(vmm_programs()))
    mine.spec.tier(tier)
    # Wrong options are refused before the work of minutes.
    if lane:
        lane_named(lane)
    debugging = _debugging_options(evidence, keep_vms, pause_on_failure)
    before = run_directory(mine.workspace, baseline) if baseline else None
    demands = demands_on(mine.workspace.reports, policy, waivers, require_kvm=require_kvm)
    kernel = _build(mine, tier)
    if lane:
        choose_lane(mine, kernel, lane)
    directory = _new_directory(mine)
    for name, file in ((POLICY_FILE, policy), (WAIVERS_FILE, waivers)):
        if file:
            write_file(directory / name, file.read_text(encoding="utf-8"))
    suites = [str(TESTS / suite) for suite in IMAGE_SUITES if (TESTS / suite).is_dir()]
    arguments = [*PYTEST_SETTINGS, *suites, "--benchmark-autosave"]
    arguments += [f"--tier={tier}", f"--run-dir={directory}"]
    arguments += debugging
    arguments += [f"--lane={lane}"] if lane else []
    arguments += ["--require-kvm"] if require_kvm else []
    arguments += [f"--spec={mine.spec_path.resolve()}"] if mine.spec_path else []
    arguments += [f"--overlay={overlay.resolve()}" for overlay in mine.overlays]
    call([sys.executable, "-m", "pytest", "-q", *arguments])
    if not any(directory.iterdir()):  # pytest did not even begin
        directory.rmdir()
        raise typer.Exit(2)
    _report(mine, directory, demands, before)
    found = load_run(directory)
    decision = decide(mine.spec, found, demands, load_run(before) if before else None)
    show_decision(found, decision)
    raise typer.Exit(decision.answer.exit_code)


def _debugging_options(evidence: str, keep_vms: bool, pause_on_failure: bool) -> list[str]:
    """The options for pytest. Raises BadParameter for one that cannot work here."""
    from hornet.vm.evidence import WHOSE

    if evidence not in WHOSE:
        raise typer.BadParameter(f"--evidence {evidence}: expected one of: {', '.join(WHOSE)}")
    if pause_on_failure and not sys.stdin.isatty():
        raise typer.BadParameter("--pause-on-failure: standard input is not a terminal; use --keep-vms")
    flags = {"--keep-vms": keep_vms, "--pause-on-failure": pause_on_failure, "--full-trace": FAILURES.debug}
    return [f"--evidence={evidence}", *(flag for flag, wanted in flags.items() if wanted)]


def _build(mine: Settings, tier: str) -> Path:
    """Build before pytest starts, so that a failed build is one error, not one per test; returns the kernel."""
    from builders.kernel import build_kernel
    from builders.rootfs import build_rootfs

    kernel = build_kernel(mine.spec, mine.workspace, mine.progress)
    mine.progress.say(f"kernel: Linux {kernel.version}, {kernel.vmlinux}")
    image = build_rootfs(mine.spec, mine.workspace, mine.progress, tier=tier)
    mine.progress.say(f"rootfs: {tier}, {image.manifest['size_mb']:.1f} MB, {image.image}")
    return kernel.vmlinux


def _new_directory(mine: Settings) -> Path:
    """A directory that no other run has."""
    name = time.strftime("%Y%m%d-%H%M%S")
    names = (name, *(f"{name}-{number}" for number in range(2, 100)))
    for directory in (mine.workspace.path("reports", each) for each in names):
        with suppress(FileExistsError):
            directory.mkdir()
            return directory
    raise HostError(f"{mine.workspace.reports / name}: a hundred runs began in this second", "run it again")


def _report(mine: Settings, directory: Path, demands: Demands, before: Path | None) -> None:
    from reports import build_report, publish_latest, verdict_table
    from reports.terminal import as_table

    paths = build_report(directory, mine.spec, demands, baseline=before)
    publish_latest(directory)
    say()
    show(as_table(verdict_table(directory, mine.spec)))
    say(f"\nreport: {paths.html}")
