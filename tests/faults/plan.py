"""A fault as one line of text that says all: which command, which fault, when. The same line plays the same fault."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.faults.commands import COMMANDS, Command
from tests.faults.faults import FAULTS, Fault

# Of the moments of a fault, how many are events: they hit phases that are too short for a point in time.
EVENT_SHARE = 0.3
EVENT_DELAY_S = 0.2
# A fault in a command's last moments often comes too late.
LATEST = 0.8


@dataclass(frozen=True)
class Moment:
    """delay_s after an event.

    start: of the command; vmm: there is one; child: there is any; work: something temporary appears in HORNET_HOME.
    """

    event: str
    delay_s: float

    def __str__(self) -> str:
        return f"{self.event}+{self.delay_s:.3f}"

    @classmethod
    def parse(cls, text: str) -> Moment:
        event, _, delay_s = text.partition("+")
        return cls(event, float(delay_s))


@dataclass(frozen=True)
class Plan:
    """What is done to which command, and when."""

    command: Command
    fault: Fault
    moment: Moment

    def __str__(self) -> str:
        return f"{self.command.name} {self.fault.name} {self.moment}"

    @classmethod
    def parse(cls, text: str) -> Plan:
        command, fault, moment = text.split()
        return cls(COMMANDS[command], FAULTS[fault], Moment.parse(moment))


def draw(chance: random.Random, duration_s: Callable[[Command], float], among: Sequence[str] = ()) -> Plan:
    """A fault by chance; duration_s: how long each command takes without one; among: of these commands only."""
    commands = [COMMANDS[name] for name in among or COMMANDS]
    command = chance.choices(commands, [each.weight for each in commands])[0]
    possible = [fault for fault in FAULTS.values() if fault.needs in (None, *command.makes)]
    fault = chance.choices(possible, [each.weight for each in possible])[0]
    if fault.from_the_start:
        return Plan(command, fault, Moment("start", 0))
    if fault.needs == "vmm":
        return Plan(command, fault, Moment("vmm", chance.uniform(0, duration_s(command) / 2)))
    if fault.needs:
        return Plan(command, fault, Moment(fault.needs, chance.uniform(0, EVENT_DELAY_S)))
    if command.makes and chance.random() < EVENT_SHARE:
        return Plan(command, fault, Moment(chance.choice(command.makes), chance.uniform(0, EVENT_DELAY_S)))
    return Plan(command, fault, Moment("start", chance.uniform(0, LATEST * duration_s(command))))
