"""Plural categories of whole numbers by the rules of the Unicode CLDR (UTS #35, Part 3, "Language Plural Rules")."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

CATEGORIES: Final = ("zero", "one", "two", "few", "many", "other")

# Of a whole number: n and i are the number itself; v, w, f, t, c and e, about decimals and exponents, are 0.
_RELATION: Final = re.compile(r"([nivwftce])(?:\s*%\s*(\d+))?\s*(!?=)\s*(\d+(?:\.\.\d+)?(?:\s*,\s*\d+(?:\.\.\d+)?)*)")


def category(rules: Mapping[str, str], number: int) -> str:
    """The category of `number` >= 0: the first whose rule holds, else `other`.

    Raises:
        ValueError: a rule is not of the CLDR's grammar.
    """
    return next((name for name, rule in rules.items() if holds(rule, number)), "other")


def holds(rule: str, number: int) -> bool:
    """Whether `number` satisfies a rule such as `n % 10 = 1 and n % 100 != 11..14`.

    Raises:
        ValueError: it is not of the CLDR's grammar.
    """
    # Every relation is read, though the first may decide: a mistake must not wait for its number.
    alternatives = [[_relation(each.strip(), number) for each in one.split(" and ")] for one in rule.split(" or ")]
    return any(all(one) for one in alternatives)


def _relation(text: str, number: int) -> bool:
    found = _RELATION.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no relation of a plural rule, such as n % 10 = 2..4")
    operand, modulus, sign, ranges = found.groups()
    value = number if operand in "ni" else 0
    if modulus is not None:
        value %= int(modulus)
    inside = any(_inside(each.strip(), value) for each in ranges.split(","))
    return inside if sign == "=" else not inside


def _inside(text: str, value: int) -> bool:
    low, _, high = text.partition("..")
    return int(low) <= value <= int(high or low)
