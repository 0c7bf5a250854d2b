"""How many faults were played, by command and by fault."""

from __future__ import annotations

from collections import Counter

from tests.faults.plan import Plan


class Tally:
    """Counts of this run. A fault that came too late, or found nothing to be done to, is no fault."""

    def __init__(self) -> None:
        self.by_command: Counter[str] = Counter()
        self.by_fault: Counter[str] = Counter()
        self.missed = 0

    def count(self, plan: Plan, missed: str) -> None:
        if missed:
            self.missed += 1
            return
        self.by_command[plan.command.name] += 1
        self.by_fault[plan.fault.name] += 1

    def lines(self) -> list[str]:
        if not self.by_command and not self.missed:
            return []
        counts = (", ".join(f"{name} {count}" for name, count in sorted(by.items())) for by in self._all())
        return [f"{self.by_command.total()} faults played, {self.missed} came too late", *counts]

    def _all(self) -> tuple[Counter[str], Counter[str]]:
        return self.by_command, self.by_fault


TALLY = Tally()
