"""Probes: many small questions to a guest in one SSH round trip; checks judge the answers."""

from __future__ import annotations

import re
import secrets
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from hornet.errors import GuestError
from hornet.host.emulation import patient_s

# Runs a command with a time limit in seconds, and sets hornet_end to its exit code, with `limit N` if that ended it.
# GNU's timeout exits with 124 then, BusyBox's with 143; a command may do so by itself, but not that late.
# A guest without `timeout` still answers; the SSH call around the whole script is bounded anyway.
LIMIT = """
limit() {
  hornet_limit=$1; shift
  read -r hornet_began hornet_rest </proc/uptime
  if command -v timeout >/dev/null 2>&1; then timeout "$hornet_limit" "$@"; else "$@"; fi
  hornet_end=$?
  read -r hornet_now hornet_rest </proc/uptime
  case $hornet_end in 124 | 143)
    if test $((${hornet_now%%.*} - ${hornet_began%%.*})) -ge "$hornet_limit"; then
      hornet_end="$hornet_end limit $hornet_limit"
    fi
  esac
}"""


@dataclass(frozen=True)
class Probe:
    """One question: a POSIX shell script for the guest's own sh, with a timeout."""

    name: str
    script: str
    timeout_s: int = 20


@dataclass(frozen=True)
class ProbeResult:
    """The output of a probe (standard output and error together) and its exit code.

    limit_s: the time limit that ended it, or None if it ended by itself.
    """

    name: str
    exit_code: int
    output: str
    limit_s: int | None = None

    @property
    def ok(self) -> bool:
        return self.exit_code == 0

    def __str__(self) -> str:
        shown = self.output.strip()
        return f"{self.name}: exit code {self.exit_code}, printed {shown[:400]!r}"


class ProbeResults(Mapping[str, ProbeResult]):
    """Answers by probe name. Raises GuestError for a missing answer, or for a probe that timed out."""

    def __init__(self, answers: Iterable[ProbeResult]) -> None:
        self._answers = {answer.name: answer for answer in answers}

    def __getitem__(self, name: str) -> ProbeResult:
        answer = self.ended_or_not(name)
        if answer.limit_s is not None:
            raise GuestError(
                f"{name}: timed out after {answer.limit_s} s; last output: {answer.output.strip()[-400:]!r}",
                "try again when the host is less busy",
                timed_out=True,
            )
        return answer

    def ended_or_not(self, name: str) -> ProbeResult:
        """The answer even if the probe timed out, for what must not take that long."""
        try:
            return self._answers[name]
        except KeyError:
            raise GuestError(
                f"the guest gave no answer to probe {name!r}; it answered {len(self._answers)} others",
                "the guest may have died meanwhile: read its console",
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._answers)

    def __len__(self) -> int:
        return len(self._answers)

    def with_answer(self, answer: ProbeResult) -> ProbeResults:
        """The same facts with one answer replaced, for self-tests that need an input to reject."""
        return ProbeResults([*self._answers.values(), answer])


def new_boundary() -> str:
    """A line prefix that no probe can print by accident."""
    return f"@@{secrets.token_hex(8)}"


def build_script(probes: Iterable[Probe], environment: Mapping[str, str], boundary: str) -> str:
    """One shell script that runs every probe and marks the beginning and end of each answer."""
    lines = [f"export {key}={shlex.quote(value)}" for key, value in environment.items()]
    lines.append(LIMIT)
    for probe in probes:
        lines += [
            f"echo '{boundary} begin {probe.name}'",
            f"limit {patient_s(probe.timeout_s):.0f} sh -c {shlex.quote(probe.script)} </dev/null 2>&1",
            f'printf "\\n%s\\n" "{boundary} end $hornet_end"',
        ]
    return "\n".join(lines) + "\n"


def parse_answers(text: str, boundary: str) -> ProbeResults:
    """Parse the output of the script. A truncated answer is left out, so that it is not judged."""
    mark = re.escape(boundary)
    pattern = rf"^{mark} begin (\S+)\n(.*?)\n{mark} end ([0-9]{{1,3}})(?: limit ([0-9]{{1,5}}))?$"
    found = re.finditer(pattern, text, re.MULTILINE | re.DOTALL)
    return ProbeResults(
        ProbeResult(match[1], int(match[3]), match[2], int(match[4]) if match[4] else None) for match in found
    )
