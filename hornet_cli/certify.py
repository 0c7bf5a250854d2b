"""`hornetos certify RUN`: one signed archive with all that a run's decision stands on; `--verify` checks one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hornet_cli.context import Settings, settings
from hornet_cli.judging import PolicyOption, demands_on, spec_of
from hornet_cli.printer import AsJson, say, say_json
from hornet_cli.report import run_directory

# Lines by their heading.
Answer = dict[str, list[str]]
REFUSED = "refused"

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
    as_json: AsJson = False,
) -> None:
    """Write a certificate of a run that passed, or verify one.

    Exit code 1 if the run gets none: it is partial, failed, over-waived or flaky. 2 if the archive was changed, or is
    not signed by an allowed signer.
    """
    mine = settings(ctx)
    if verify:
        if signers is None:
            raise typer.BadParameter("--verify needs --signers FILE: whose signatures count")
        answer = _verify(mine, Path(run), signers, policy)
    else:
        if key is None:
            raise typer.BadParameter("name the private key that signs: --key FILE")
        answer = _write(mine, run, key, out, policy)
    if as_json:
        say_json(answer)
    else:
        for heading, lines in answer.items():
            for line in lines:
                say(f"{heading}: {line}")
    if answer.get(REFUSED):
        raise typer.Exit(1)


def _write(mine: Settings, name: str, key: Path, out: Path | None, policy: Path | None) -> Answer:
    from hornet.host.owned import work_directory
    from hornet.results.certificate import refusals, write_certificate
    from hornet.spec.requirements import load_requirements

    found, decision = _decide(mine, run_directory(mine.workspace, name).resolve(), policy)
    if reasons := refusals(found, decision):
        return {REFUSED: reasons, "no certificate": [f"run {found.name} {decision.headline}"]}
    archive = out or Path(f"{found.name}.certificate.zip")
    with work_directory(mine.workspace.run, "certificate") as work:
        made = write_certificate(archive, found, decision, load_requirements(), key, work)
    return {"certificate": [f"{archive}: {made.headline}; {len(made.files)} files"]}


def _verify(mine: Settings, archive: Path, signers: Path, policy: Path | None) -> Answer:
    from hornet.host.owned import work_directory
    from hornet.results.certificate import open_certificate, refusals, requirements_sha256
    from hornet.spec.requirements import load_requirements

    with work_directory(mine.workspace.run, "certificate") as work:
        opened = open_certificate(archive, signers, work)
        found, decision = _decide(mine, opened.run_directory, policy)
    made = opened.certificate
    remarks = []
    if made.requirements != requirements_sha256(load_requirements()):
        remarks.append(f"judged by the requirements of suite {made.suite}, which are not this suite's")
    if reasons := refusals(found, decision):
        return {"remark": remarks, REFUSED: reasons, "not valid": [f"run {made.run} {decision.headline}"]}
    waived = [f"{row.id}: {row.reason}" for row in decision.waived]
    signed = f"signed by {opened.signed_by}: run {made.run} {decision.headline}"
    return {"remark": remarks, "waived": waived, "certificate": [signed]}


def _decide(mine: Settings, directory: Path, policy: Path | None) -> tuple[Run, Decision]:
    from hornet.results.gate import decide
    from hornet.results.run import load_run

    found = load_run(directory)
    return found, decide(spec_of(mine, found), found, demands_on(directory, policy, None, require_kvm=False))
