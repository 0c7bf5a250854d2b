"""`hornetos kconfig FILE`: judge a kernel's configuration against the spec. It needs only the file, not a VM."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from hornet.formats.kconfig import FlagVerdict, check_flags, read_config, require_whole, version_key
from hornet_cli.context import settings
from hornet_cli.printer import AsJson, say, say_json


def kconfig(
    ctx: typer.Context,
    file: Annotated[
        Path, typer.Argument(help="A .config, or a vmlinux or bzImage with CONFIG_IKCONFIG; may be packed.")
    ],
    kernel_version: Annotated[
        str | None, typer.Option(help="The kernel's version, if the file's header lacks it or is wrong.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Judge each kernel flag of the spec: required ones must be y, removed ones n (exit 0: all hold, 1: some don't)."""
    kernel, boot_args = settings(ctx).spec.kernel, settings(ctx).spec.machine.boot_args
    if kernel_version is not None:
        version_key(kernel_version)
    config = read_config(file)
    if kernel_version is None:  # with it, somebody says that a file without a header is whole
        require_whole(config, file)
    version = kernel_version or config.version
    verdicts = check_flags(
        config,
        kernel.required_symbols,
        kernel.removed_symbols,
        version,
        symbols=kernel.symbols,
        boot_args=boot_args,
    )
    if as_json:
        say_json(_as_data(file, version, verdicts))
    else:
        _print_table(file, version, verdicts)
    if not all(verdict.ok for verdict in verdicts):
        raise typer.Exit(1)


def _as_data(file: Path, version: str | None, verdicts: list[FlagVerdict]) -> dict[str, object]:
    return {
        "file": str(file),
        "bytes": file.stat().st_size,
        "kernel_version": version,
        "ok": all(verdict.ok for verdict in verdicts),
        "flags": [dataclasses.asdict(verdict) for verdict in verdicts],
    }


def _print_table(file: Path, version: str | None, verdicts: list[FlagVerdict]) -> None:
    width = max((len(verdict.symbol) for verdict in verdicts), default=0) + len("CONFIG_")
    for verdict in verdicts:
        mark = "ok  " if verdict.ok else "FAIL"
        flags = f"expected {verdict.expected}  found {verdict.found:<6}"
        say(f"{mark}  {'CONFIG_' + verdict.symbol:<{width}}  {flags}  {verdict.reason}")
    wrong = sum(not verdict.ok for verdict in verdicts)
    known = f"Linux {version}" if version else "a kernel of unknown version (set it with --kernel-version)"
    say(f"{file}: {known}: {len(verdicts) - wrong} of {len(verdicts)} flags hold" + (f", {wrong} do not" * bool(wrong)))
