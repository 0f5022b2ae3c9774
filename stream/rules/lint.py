"""What is wrong with rules that are each well written: items they never mean, places they empty, what they contradict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np

from models.items.catalog import Catalog
from stream.rules.active import ActiveRules
from stream.rules.rule import Rule

Severity = Literal["error", "warning"]


class Finding(NamedTuple):
    """One thing about a rule."""

    rule_id: str
    severity: Severity
    """`error`: lists will not be what the rule says."""
    says: str


class Linted(NamedTuple):
    """What came of it."""

    means: dict[str, int]
    """By id: available items that the rule means; of a cap how many groups it has."""
    findings: list[Finding]


def lint(rules: Mapping[str, Rule], catalog: Catalog, slots: int, now_ms: int) -> Linted:
    """Look at rules together with a catalogue.

    Args:
        rules: by id.
        catalog: as it is now. Popularity counts as 0.
        slots: places of a list.
        now_ms: what age is counted from.
    """
    force = ActiveRules(slots)
    force.book.replace(rules)
    popularity = np.zeros(len(catalog.recommendable))
    force.look(catalog, popularity, now_ms, whole=True)
    findings = [
        Finding(rule_id, "error", _forgotten(rule)) for rule_id, rule in rules.items() if now_ms >= rule.until_ms
    ]
    means = {}
    for rule_id in sorted(rules):
        marks = force.marks_of(rule_id)
        if rules[rule_id].kind == "cap":
            means[rule_id] = len(marks.codes)
        else:
            means[rule_id] = int((marks.means[: len(catalog.recommendable)] & catalog.recommendable).sum())
        if not means[rule_id]:
            findings.append(Finding(rule_id, "error", f"means no {_what(rules[rule_id])} that is available"))
    findings += [Finding(each, "error", "its condition could not be told of an item") for each in force.errors]
    scope = force.scope(tuple(sorted(rules)), catalog, popularity)
    for name in scope.relaxed:
        rule_id = name.removeprefix("rule:")
        findings.append(
            Finding(rule_id, "error", f"leaves fewer than {slots} items together with the others: left out")
        )
    if scope.allowed is not None:
        left = int((scope.allowed & catalog.recommendable).sum())
        if left < slots:
            denying = ", ".join(sorted(rule_id for rule_id, rule in rules.items() if rule.kind == "deny"))
            findings.append(
                Finding(denying or "-", "error", f"leaves {left} of {slots} places: what is denied stays denied")
            )
    findings += _pins(rules, force, catalog, scope.allowed)
    return Linted(means, findings)


def _forgotten(rule: Rule) -> str:
    return f"counts no more since {rule.valid_until}"


def _what(rule: Rule) -> str:
    return "category or value" if rule.kind == "cap" else "item"


def _pins(rules: Mapping[str, Rule], force: ActiveRules, catalog: Catalog, allowed: np.ndarray | None) -> list[Finding]:
    findings, places = [], dict[int, str]()
    for rule_id, rule in sorted(rules.items()):
        if rule.kind not in ("pin", "boost", "promote"):
            continue
        if rule.kind == "pin" and rule.place is not None:
            first = places.setdefault(rule.place, rule_id)
            if first != rule_id:
                findings.append(Finding(rule_id, "error", f"wants place {rule.place}, which {first} has"))
        if allowed is None:
            continue
        n = len(catalog.recommendable)
        means = np.zeros(n, np.bool_)
        known = force.marks_of(rule_id).means[:n]
        means[: len(known)] = known
        means &= catalog.recommendable
        if means.any() and not (means & allowed).any():
            findings.append(Finding(rule_id, "warning", "all that it means is filtered out or denied by other rules"))
    return findings
