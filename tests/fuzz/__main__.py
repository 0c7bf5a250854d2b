"""`python -m tests.fuzz TARGET --seconds N`: fuzz one parser, guided by the code that each input reaches (atheris).

What breaks it is kept: a crash, or what takes longer or more memory than the limits, as tests/fuzz/finds/TARGET-…;
make it small, put it into tests/fuzz/corpus/TARGET/, and every later run of the tests tries it again.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
MAX_INPUT_BYTES = 16384
INPUT_TIMEOUT_S = 10
MEMORY_LIMIT_MIB = 1536


def dictionary(samples: list[bytes]) -> list[str]:
    """Words that mutations are made of: the keys and values of the samples, and some that are odd anywhere."""
    found = {word.decode() for word in re.findall(rb"[A-Za-z_][A-Za-z0-9_.-]{2,40}", b" ".join(samples))}
    return sorted(found | {"nan", "inf", "-1", "1e308", "null", "[[", "../", "18446744073709551615"})


def main() -> None:
    try:
        import atheris
    except ImportError:
        sys.exit("no atheris here\n  next: pip install 'atheris>=3,<4' into the virtual environment (extra: fuzz)")
    sys.path.insert(0, str(HERE.parent / "selftest"))
    with atheris.instrument_imports(include=["hornet", "builders", "reports", "tomllib", "json", "ipaddress"]):
        from tests.fuzz.targets import CORPUS, TARGETS

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz one parser.")
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--work", type=Path, help="where inputs that reach new code are kept (default: nowhere)")
    chosen = parser.parse_args()
    target, finds = TARGETS[chosen.target], HERE / "finds"
    finds.mkdir(exist_ok=True)
    work = chosen.work or finds / f"{chosen.target}.corpus"
    work.mkdir(parents=True, exist_ok=True)
    samples = list(target.samples())
    for number, sample in enumerate(samples):
        (work / f"sample-{number}").write_bytes(sample)
    words = finds / f"{chosen.target}.words"
    words.write_text("".join(f'"{word}"\n' for word in dictionary(samples)))
    kept = CORPUS / chosen.target
    options = [
        f"-dict={words}",
        f"-max_total_time={chosen.seconds}",
        f"-max_len={MAX_INPUT_BYTES}",
        f"-timeout={INPUT_TIMEOUT_S}",
        f"-rss_limit_mb={MEMORY_LIMIT_MIB}",
        f"-artifact_prefix={finds}/{chosen.target}-",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(work), *([str(kept)] if kept.is_dir() else [])], target.survives)
    atheris.Fuzz()


main()
