"""Kernel configurations that were once judged wrongly: tests/cases/kernels, judged by `hornetos kconfig`."""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from hornet.errors import HornetError
from hornet_cli.app import app
from tests.selftest.test_kconfig import GOOD, text_of
from tests.support.cases import each_case, opened
from tests.support.kernel_samples import kernel_with, pack_bzimage

WRAPPINGS: dict[str, Callable[[bytes], bytes]] = {
    "byte order mark": lambda data: codecs.BOM_UTF8 + data,
    "CR LF": lambda data: data.replace(b"\n", b"\r\n"),
    "UTF-16": lambda data: data.decode().encode("utf-16"),
    "vmlinux": lambda data: kernel_with(data.decode()),
    "bzImage": lambda data: pack_bzimage(data, gzip.compress),
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
    # Their first bytes: Python unpacks neither, and nothing behind them is read.
    "zstd": lambda data: b"\x28\xb5\x2f\xfd" + data,
    "lz4": lambda data: b"\x02\x21\x4c\x18" + data,
    "gzip, two members": lambda data: gzip.compress(data[:999]) + gzip.compress(data[999:]),
    "bzip2, two members": lambda data: bz2.compress(data[:999]) + bz2.compress(data[999:]),
    "comment in Latin-1": lambda data: data + "# für uns\n".encode("latin-1"),
    "cut": lambda data: data[: len(data) // 2],
}
VERDICTS = {0: "holds", 1: "fails"}


@each_case("kernels")
def test_kernel_case_comes_out_right(file: Path, tmp_path: Path) -> None:
    with opened(file) as case:
        path = tmp_path / "file"
        path.write_bytes(made(case))
        result = CliRunner().invoke(app, ["kconfig", str(path), *case.pop("options", [])])
        if isinstance(result.exception, HornetError):
            verdict, said = "not judged", f"{result.exception.message} {result.exception.hint}"
        else:
            verdict, said = VERDICTS[result.exit_code], result.output
        assert verdict == case.pop("verdict"), said
        assert re.search(case.pop("says"), said), said


def made(case: dict[str, Any]) -> bytes:
    """A `text`, or a configuration in which all flags hold with its `changes`; `wrapped` from the inside out."""
    version = case.pop("version", "6.1.192")
    changed = {**GOOD, **case.pop("changes", {})}
    text: str = case.pop("text", None) or text_of({k: v for k, v in changed.items() if v != "absent"}, version)
    data = text.encode()
    for name in case.pop("wrapped", []):
        data = WRAPPINGS[name](data)
    return data
