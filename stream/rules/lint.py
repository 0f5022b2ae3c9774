"""What is wrong with rules that are each well written: items they never mean, places they empty, what they contradict."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.items.catalog import Catalog
from stream.rules.active import ActiveRules
from stream.rules.marks import RuleMarks, Seen
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


def lint(
    rules: Mapping[str, Rule], catalog: Catalog, slots: Mapping[str, int], now_ms: int, arms: Collection[str] = ()
) -> Linted:
    """Look at rules together with a catalogue.

    Args:
        rules: by id.
        catalog: as it is now. Popularity counts as 0.
        slots: by placement: places of its lists.
        now_ms: what age is counted from.
        arms: of the experiments, `EXPERIMENT/ARM`.
    """
    active = ActiveRules()
    active.book.replace(rules)
    seen = Seen(catalog, np.zeros(0), now_ms)
    active.look(seen, whole=True)
    findings = [
        _error(i, f"counts no more since {rule.valid_until}") for i, rule in rules.items() if now_ms >= rule.until_ms
    ]
    findings += [_error(rule_id, f"counts for no such item: {why}") for rule_id, why in active.errors.items()]
    means = {rule_id: _means(active.marks_of(rule_id), catalog) for rule_id in sorted(rules)}
    for rule_id, items in means.items():
        if not items:
            what = "category or value" if rules[rule_id].kind == "cap" else "item"
            findings.append(_error(rule_id, f"means no {what} that is available"))
    named = sorted({rule.arm for rule in rules.values() if rule.arm is not None})
    for placement, places in slots.items():
        known: set[Finding] = set()  # what is wrong for everybody is said once
        for arm in (None, *named):
            there = {
                rule_id: rule
                for rule_id, rule in rules.items()
                if rule.placement in (None, placement) and rule.arm in (None, arm)
            }
            told = (["placement " + placement] if len(slots) > 1 else []) + ([] if arm is None else ["arm " + arm])
            where = f" ({', '.join(told)})" if told else ""
            new = [each for each in _together(there, active, seen, places) if each not in known]
            known |= set(new)
            findings += [each._replace(says=each.says + where) for each in new]
    for rule_id, rule in rules.items():
        if rule.arm is not None and rule.arm not in arms:
            findings.append(_error(rule_id, f"counts for nobody: there is no arm {rule.arm}"))
        if rule.placement is not None and rule.placement not in slots:
            findings.append(_error(rule_id, f"counts nowhere: there is no placement {rule.placement}"))
    return Linted(means, findings)


def _together(rules: Mapping[str, Rule], active: ActiveRules, seen: Seen, slots: int) -> list[Finding]:
    """What is wrong beside each other with the rules of one placement for the same people."""
    findings, catalog = [], seen.catalog
    scope = active.scope(tuple(sorted(rules)), seen, slots)
    for name in scope.relaxed:
        says = f"leaves fewer than {slots} items together with the others: left out"
        findings.append(_error(name.removeprefix("rule:"), says))
    if scope.allowed is not None:
        left = int((scope.allowed & catalog.recommendable).sum())
        if left < slots:
            denying = ", ".join(sorted(rule_id for rule_id, rule in rules.items() if rule.kind == "deny"))
            findings.append(_error(denying or "-", f"leaves {left} of {slots} places: what is denied stays denied"))
        findings += _lifted_for_nothing(rules, active, catalog.recommendable, scope.allowed)
    return findings + _places_taken(rules)


def _error(rule_id: str, says: str) -> Finding:
    return Finding(rule_id, "error", says)


def _means(marks: RuleMarks, catalog: Catalog) -> int:
    if marks.rule.kind == "cap":
        return len(marks.codes)
    return int(np.count_nonzero(marks.means & catalog.recommendable))


def _lifted_for_nothing(
    rules: Mapping[str, Rule], active: ActiveRules, recommendable: NDArray[np.bool_], allowed: NDArray[np.bool_]
) -> list[Finding]:
    """Rules that pin, boost or promote what others forbid."""
    findings = []
    for rule_id, rule in sorted(rules.items()):
        means = active.marks_of(rule_id).means & recommendable
        if rule.kind in ("pin", "boost", "promote") and means.any() and not (means & allowed).any():
            findings.append(Finding(rule_id, "warning", "all that it means is filtered out or denied by other rules"))
    return findings


def _places_taken(rules: Mapping[str, Rule]) -> list[Finding]:
    findings, places = [], dict[int, str]()
    for rule_id, rule in sorted(rules.items()):
        if rule.place is not None and (first := places.setdefault(rule.place, rule_id)) != rule_id:
            findings.append(_error(rule_id, f"wants place {rule.place}, which {first} has"))
    return findings
