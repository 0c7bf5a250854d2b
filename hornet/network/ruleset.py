"""What the host's whole nftables ruleset does with a packet: a walk over the base chains of its hooks.

A condition is true, false, or unknown: the walk then follows both ways. So a packet is dropped for certain, passes for
certain, or the ruleset alone does not decide it. Rules of iptables-nft are part of the ruleset; those of
iptables-legacy and of eBPF are not (see trial.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from hornet.network import nft

# Statements that neither decide nor select.
NEUTRAL = frozenset({"counter", "log", "mangle", "notrack", "ct helper", "ct timeout", "set", "flow", "comment"})
# These end a chain like accept.
TRANSLATING = frozenset({"masquerade", "snat", "dnat", "redirect", "tproxy"})
DROPPING = frozenset({"drop", "reject"})
# Targets of iptables that nft does not translate and that drop; others mark, log or translate.
DROPPING_TARGETS = frozenset({"REJECT", "TARPIT"})
# A header that a packet of another protocol does not have.
HEADERS = frozenset({"tcp", "udp", "udplite", "icmp", "icmpv6", "sctp", "dccp", "esp", "ah", "ip6", "arp"})


class Pass(Enum):
    """What a rule or a chain does with a packet that it does not drop."""

    ACCEPT = "accept"
    CONTINUE = "continue"


@dataclass(frozen=True)
class Drop:
    """Where a packet is dropped. base: the base chain from which the rule was reached; rule: its text, or the policy.

    managers: the chains of the table that its owner reserves for rules of others (DOCKER-USER).
    """

    family: str
    table: str
    base: str
    priority: int
    rule: str
    managers: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"table {self.family} {self.table}, chain {self.base} (priority {self.priority}): {self.rule}"


Outcome = Pass | Drop
# What a rule does: how the packet may leave the chain there, and whether it may go on to the next rule.
Step = tuple[set[Outcome], bool]


@dataclass(frozen=True)
class Packet:
    """A packet as rules see it: values by `meta iifname`, `ip saddr`, `tcp dport`, …; what is missing is unknown."""

    protocol: str
    values: Mapping[str, str | int]


@dataclass(frozen=True)
class Verdict:
    """The ruleset's answer. dropped: for certain, and where. possible: where it may be dropped, if dropped is empty."""

    dropped: tuple[Drop, ...]
    possible: tuple[Drop, ...]


class Ruleset:
    """The ruleset of the calling thread's namespace, without the suite's own table. Raises NetworkError."""

    def __init__(self) -> None:
        objects = json.loads(nft.run_commands("list ruleset", nft.JSON))["nftables"]
        self._texts, dormant = _texts(nft.run_commands("list ruleset", nft.HANDLES))
        skipped = dormant | ({("inet", nft.TABLE)} if _own_table() else set())
        self._chains: dict[tuple[str, str, str], dict[str, Any]] = {}
        self._rules: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
        self._sets: dict[tuple[str, str, str], dict[str, Any]] = {}
        for each in objects:
            ((kind, body),) = each.items()
            if kind in ("chain", "set", "map") and _table(body) not in skipped:
                (self._chains if kind == "chain" else self._sets)[(*_table(body), body["name"])] = body
            elif kind == "rule" and _table(body) not in skipped:
                self._rules.setdefault((*_table(body), body["chain"]), []).append(body)

    def verdict(self, hooks: Sequence[str], packet: Packet) -> Verdict:
        """What becomes of a packet at these hooks."""
        dropped: list[Drop] = []
        possible: list[Drop] = []
        for chain in self._bases(hooks):
            outcomes = _Walk(self, chain, packet).outcomes()
            drops = [it for it in outcomes if isinstance(it, Drop)]
            (possible if len(drops) < len(outcomes) else dropped).extend(drops)
        return Verdict(tuple(dropped), () if dropped else tuple(possible))

    def _bases(self, hooks: Sequence[str]) -> list[dict[str, Any]]:
        found = [it for it in self._chains.values() if it.get("hook") in hooks and it["family"] in ("ip", "inet")]
        return sorted(found, key=lambda it: (hooks.index(it["hook"]), it["prio"]))

    def rules(self, family: str, table: str, chain: str) -> list[dict[str, Any]]:
        """The rules of a chain, in order."""
        return self._rules.get((family, table, chain), [])

    def elements(self, family: str, table: str, name: str) -> list[Any] | None:
        """The elements of a named set or map; None if packets may change them, or if there is none."""
        found = self._sets.get((family, table, name))
        if found is None or "dynamic" in found.get("flags", ()):
            return None
        elements: list[Any] = found.get("elem", [])
        return elements

    def text(self, rule: Mapping[str, Any]) -> str:
        """A rule as nft prints it."""
        return self._texts.get((rule["family"], rule["table"], rule["handle"]), "a rule")

    def managers(self, family: str, table: str) -> tuple[str, ...]:
        """Chains that are there for rules of others."""
        return tuple(name for *where, name in self._chains if where == [family, table] and name == "DOCKER-USER")


class _Walk:
    """The way of one packet through one base chain."""

    def __init__(self, ruleset: Ruleset, chain: Mapping[str, Any], packet: Packet) -> None:
        self._ruleset = ruleset
        self._chain = chain
        self._packet = packet

    def outcomes(self) -> set[Outcome]:
        found = self._follow(self._chain["name"])
        if Pass.CONTINUE in found:
            found.remove(Pass.CONTINUE)
            found.add(self._drop("policy drop") if self._chain.get("policy") == "drop" else Pass.ACCEPT)
        return found

    def _follow(self, name: str) -> set[Outcome]:
        """The outcomes of a chain; CONTINUE: the packet reaches its end, or leaves it by return or goto."""
        found: set[Outcome] = set()
        for rule in self._ruleset.rules(self._chain["family"], self._chain["table"], name):
            outcomes, goes_on = self._apply(rule)
            found |= outcomes
            if not goes_on:
                return found
        return found | {Pass.CONTINUE}

    def _apply(self, rule: Mapping[str, Any]) -> Step:
        certain = True
        for statement in rule["expr"]:
            ((kind, body),) = statement.items()
            step = self._decided(kind, body, rule)
            if step is not None:
                outcomes, goes_on = step
                return outcomes, goes_on or not certain
            holds = self._holds(kind, body, rule)
            if holds is False:
                return set(), True
            certain = certain and holds is True
        opaque = any("xt" in it and not it["xt"] for it in rule["expr"])  # an older nft does not name the target
        return {self._drop(self._ruleset.text(rule))} if opaque else set(), True

    def _decided(self, kind: str, body: Any, rule: Mapping[str, Any]) -> Step | None:
        """What a statement decides; None if it decides nothing."""
        if kind == "accept" or kind in TRANSLATING:
            return {Pass.ACCEPT}, False
        if kind in DROPPING or (kind == "xt" and (body or {}).get("name") in DROPPING_TARGETS):
            return {self._drop(self._ruleset.text(rule))}, False
        if kind == "return":
            return {Pass.CONTINUE}, False
        if kind == "goto":
            return self._follow(body["target"]), False
        if kind == "jump":
            outcomes = self._follow(body["target"])
            return outcomes - {Pass.CONTINUE}, Pass.CONTINUE in outcomes
        if kind == "queue":
            return {Pass.ACCEPT, self._drop(self._ruleset.text(rule))}, False
        return self._mapped(body, rule) if kind == "vmap" else None

    def _mapped(self, body: Mapping[str, Any], rule: Mapping[str, Any]) -> Step:
        """What a verdict map decides."""
        elements = self._elements(body["data"])
        if elements is None:
            return {self._drop(self._ruleset.text(rule))}, True
        found: set[Outcome] = set()
        for key, verdict in elements:
            holds = self._matches(body["key"], key)
            if holds is False:
                continue
            ((kind, inner),) = verdict.items()
            outcomes, goes_on = self._decided(kind, inner, rule) or (set(), True)
            found |= outcomes
            if holds:
                return found, goes_on
        return found, True

    def _drop(self, rule: str) -> Drop:
        family, table = self._chain["family"], self._chain["table"]
        managers = self._ruleset.managers(family, table)
        return Drop(family, table, self._chain["name"], self._chain["prio"], rule, managers)

    def _holds(self, kind: str, body: Any, rule: Mapping[str, Any]) -> bool | None:
        """Whether the packet passes a statement that selects."""
        if kind in NEUTRAL or (kind == "xt" and (body or {}).get("type") == "target"):
            return True
        if kind == "xt" and (body or {}).get("name") == "conntrack":
            # JSON does not say which states, the text does.
            states = re.search(r"\bct state (!= )?([a-z,]+)\b", self._ruleset.text(rule))
            if states is None:
                return None
            return (self._packet.values["ct state"] in states[2].split(",")) is not bool(states[1])
        if kind != "match":
            return None
        found = self._matches(body["left"], body["right"])
        if self._is_of_another_protocol(body["left"]):
            return False
        if found is None or body["op"] not in ("==", "!=", "in"):
            return None
        return found is not (body["op"] == "!=")

    def _is_of_another_protocol(self, left: Any) -> bool:
        header = left.get("payload", {}).get("protocol") if isinstance(left, dict) else None
        return header in HEADERS and header != self._packet.protocol

    def _matches(self, left: Any, right: Any) -> bool | None:
        value = self._value(left)
        return None if value is None else _among(value, right, self)

    def _value(self, left: Any) -> Any:
        """The packet's value of an expression; None if it is not known."""
        if not isinstance(left, dict) or len(left) != 1:
            return None
        ((kind, body),) = left.items()
        if kind == "concat":
            values = [self._value(it) for it in body]
            return None if None in values else values
        if kind in ("meta", "ct") and "dir" not in body:
            return self._packet.values.get(f"{kind} {body['key']}")
        if kind == "payload" and "protocol" in body:
            header = self._packet.protocol if body["protocol"] == "th" else body["protocol"]
            return self._packet.values.get(f"{header} {body['field']}")
        return None

    def _elements(self, data: Any) -> list[Any] | None:
        if isinstance(data, str):
            return self._ruleset.elements(self._chain["family"], self._chain["table"], data.removeprefix("@"))
        found: list[Any] = data["set"]
        return found

    def named(self, name: str) -> list[Any] | None:
        """The elements of a named set of the table."""
        return self._elements(name)


def _among(value: Any, right: Any, walk: _Walk | None) -> bool | None:
    """Whether a value is, or is one of, what a rule names; None if that is not known."""
    if isinstance(right, str) and right.startswith("@"):
        right = walk.named(right) if walk else None
    if right is None:
        return None
    if isinstance(right, list):
        return _any(_among(value, it, walk) for it in right)
    if isinstance(right, dict):
        return _among_described(value, right, walk)
    if isinstance(right, str) and right.endswith("*"):
        return str(value).startswith(right[:-1])
    return str(value) == str(right)


def _among_described(value: Any, right: Mapping[str, Any], walk: _Walk | None) -> bool | None:
    kind: str
    body: Any
    kind, body = next(iter(right.items())) if len(right) == 1 else ("", [])
    if kind == "set":
        return _any(_among(value, it, walk) for it in body)
    if kind == "elem":
        return _among(value, body["val"], walk)
    if kind == "prefix" and _is_address(value) and _is_address(body["addr"]):
        return IPv4Address(value) in IPv4Network((body["addr"], body["len"]), strict=False)
    if kind == "range" and _is_address(value) and all(map(_is_address, body)):
        return IPv4Address(body[0]) <= IPv4Address(value) <= IPv4Address(body[1])
    if kind == "range" and isinstance(value, int) and all(isinstance(it, int) for it in body):
        return bool(body[0] <= value <= body[1])
    if kind == "concat" and isinstance(value, list) and len(value) == len(body):
        found = [_among(one, other, walk) for one, other in zip(value, body, strict=True)]
        return False if False in found else None if None in found else True
    return None


def _any(found: Iterable[bool | None]) -> bool | None:
    known = list(found)
    return True if True in known else None if None in known else False


def _is_address(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"\d+\.\d+\.\d+\.\d+", value) is not None


def _table(body: Mapping[str, Any]) -> tuple[str, str]:
    return body["family"], body["table"] if "table" in body else body["name"]


def _own_table() -> bool:
    listed = nft.listed_rules()
    return listed is not None and nft.is_ours(listed)


def _texts(listed: str) -> tuple[dict[tuple[str, str, int], str], set[tuple[str, str]]]:
    """The text of each rule by family, table and handle, without its counters; and the tables that are dormant."""
    found, dormant, family, table = {}, set(), "", ""
    for line in listed.splitlines():
        if header := re.match(r"table (\S+) (\S+) \{", line):
            family, table = header[1], header[2]
        elif rule := re.fullmatch(r"\t\t(.*) # handle (\d+)", line):
            found[family, table, int(rule[2])] = re.sub(r"counter packets \d+ bytes \d+ ?", "", rule[1]).strip()
        elif re.match(r"\tflags .*\bdormant\b", line):  # not in the JSON of every version
            dormant.add((family, table))
    return found, dormant
