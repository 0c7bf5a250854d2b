"""`hornetos certify RUN`: one signed archive with all that a run's decision stands on; `--verify` checks one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hornet_cli.context import Settings, settings
from hornet_cli.judging import PolicyOption, demands_on, spec_of
from hornet_cli.printer import say
from hornet_cli.report import run_directory

if TYPE_CHECKING:
    from hornet.results.gate import Decision
    from hornet.results.run import Run


def certify(
    ctx: typer.Context,
    run: Annotated[str, typer.Argument(help="A run's name or directory; with --verify, the archive.")] = "latest",
    key: Annotated[Path | None, typer.Option(help="The private SSH key that signs.")] = None,
    out: Annotated[Path | None, typer.Option(help="The archive to write [RUN.certificate.zip].")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Verify an archive instead of writing one.")] = False,
    signers: Annotated[
        Path | None, typer.Option(help="For --verify: the allowed signers, a file as in ssh-keygen(1).")
    ] = None,
    policy: PolicyOption = None,
) -> None:
    """Write a certificate of a run that passed, or verify one.

    Exit code 1 if the run gets none: it is partial, failed, over-waived or flaky. 2 if the archive was changed, or is
    not signed by an allowed signer.
    """
    mine = settings(ctx)
    if verify:
        if signers is None:
            raise typer.BadParameter("--verify needs --signers FILE: whose signatures count")
        _verify(mine, Path(run), signers, policy)
    else:
        if key is None:
            raise typer.BadParameter("name the private key that signs: --key FILE")
        _write(mine, run, key, out, policy)


def _write(mine: Settings, name: str, key: Path, out: Path | None, policy: Path | None) -> None:
    from hornet.host.owned import work_directory
    from hornet.results.certificate import write_certificate
    from hornet.spec.requirements import load_requirements

    directory = run_directory(mine.workspace, name).resolve()
    with work_directory(mine.workspace.run, "certificate") as work:
        found, decision = _decide(mine, directory, policy)
        archive = out or Path(f"{found.name}.certificate.zip")
        made = write_certificate(archive, found, decision, load_requirements(), key, work)
    say(f"certificate: {archive}: {made.headline}; {len(made.files)} files")


def _verify(mine: Settings, archive: Path, signers: Path, policy: Path | None) -> None:
    from hornet.host.owned import work_directory
    from hornet.results.certificate import open_certificate, requirements_sha256
    from hornet.spec.requirements import load_requirements

    with work_directory(mine.workspace.run, "certificate") as work:
        opened = open_certificate(archive, signers, work)
        certificate = opened.certificate
        if certificate.requirements != requirements_sha256(load_requirements()):
            say(f"remark: judged by the requirements of suite {certificate.suite}, which are not this suite's")
        _, decision = _decide(mine, opened.run_directory, policy)
    for row in decision.waived:
        say(f"waived: {row.id}: {row.reason}")
    say(f"certificate: signed by {opened.signed_by}: run {certificate.run} {decision.headline}")


def _decide(mine: Settings, directory: Path, policy: Path | None) -> tuple[Run, Decision]:
    """The run and its decision. Exits with code 1 if it gets no certificate."""
    from hornet.results.certificate import refusals
    from hornet.results.gate import decide
    from hornet.results.run import load_run

    found = load_run(directory)
    decision = decide(spec_of(mine, found), found, demands_on(directory, policy, None, require_kvm=False))
    reasons = refusals(found, decision)
    for reason in reasons:
        say(f"refused: {reason}")
    if reasons:
        say(f"run {found.name} gets no certificate: {decision.headline}")
        raise typer.Exit(1)
    return found, decision
