"""Which items a condition means: SQL over columns of the catalogue, parsed and evaluated by polars.

    item_id, title, language      text
    categories                    list of text: array_contains(categories, 'wine')
    price                         number
    available                     true or false
    published_at                  ms since 1970, null where nobody said
    attributes.NAME               text, null where an item has none of that name
    popularity                    first engagements by now
    age_h                         hours since published_at

A condition is data: nothing of it is run as code. It may use comparisons, AND, OR, NOT, IN, LIKE, BETWEEN, IS NULL, arithmetic
and the functions of `FUNCTIONS`, and must say of each item the same whatever other items there are. Null means no.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.items.catalog import CatalogItem
from stream.errors import UsageError

FUNCTIONS: Final = frozenset(
    (
        "abs", "array_contains", "array_length", "ceil", "coalesce", "concat", "date", "ends_with", "floor", "greatest",
        "ifnull", "least", "length", "lower", "ltrim", "mod", "nullif", "replace", "round", "rtrim", "sqrt", "starts_with",
        "strpos", "substr", "substring", "trim", "upper",
    )
)  # fmt: skip
WORDS: Final = frozenset(
    (
        "and", "any", "between", "case", "else", "end", "false", "ilike", "in", "is", "like", "not", "null", "or", "regexp",
        "rlike", "then", "true", "when",
    )
)  # fmt: skip
"""Words of SQL that may stand before a bracket, or by themselves."""

COLUMNS: Final = (
    "item_id", "title", "language", "categories", "price", "available", "published_at", "popularity", "age_h", "attributes",
)  # fmt: skip
MOVING: Final = ("popularity", "age_h")
"""Columns that change by themselves."""

DEPTH_MAX: Final = 16
HOUR_MS: Final = 3_600_000.0

_TEXTS: Final = re.compile(r"'(?:[^']|'')*'")
_TOKENS: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|\"[^\"]*\"|[^\sA-Za-z_]")
_ATTRIBUTE: Final = re.compile(r"\battributes\s*\.\s*([A-Za-z_][A-Za-z0-9_]*)", re.IGNORECASE)


class Condition(NamedTuple):
    """A condition that was looked at."""

    sql: str
    expression: Any
    attributes: tuple[str, ...]
    """Names of attributes that it asks for."""
    moves: bool
    """What it means changes although no item does."""


class ItemColumns(NamedTuple):
    """Some items, and what moves of them; n."""

    items: Sequence[CatalogItem]
    popularity: NDArray[np.float64]
    now_ms: int


def parse(rule_id: str, sql: str) -> Condition:
    """The condition of a rule.

    Raises:
        UsageError: it is none; one line that says where.
    """
    _refuse_odd_words(rule_id, sql)
    attributes = tuple(sorted(set(_ATTRIBUTE.findall(_TEXTS.sub("''", sql)))))
    polars = _polars()
    try:
        expression = polars.sql_expr(sql)
    except MemoryError:
        raise
    except (Exception, polars.exceptions.PanicException) as error:  # noqa: BLE001  (whatever a parser says of a text)
        raise _wrong(rule_id, f"cannot be read: {_first_line(error)}") from None
    tokens = {token.lower().strip('"') for token in _TOKENS.findall(_TEXTS.sub("''", sql))}
    condition = Condition(sql, expression, attributes, bool(tokens & set(MOVING)))
    _probe(rule_id, condition)
    return condition


def evaluate(condition: Condition, columns: ItemColumns) -> NDArray[np.bool_]:
    """(n,) which of these items it means.

    Raises:
        ValueError: it cannot be told of one of them; the message goes on after "the condition".
    """
    if not len(columns.items):
        return np.zeros(0, np.bool_)
    polars = _polars()
    try:
        found = _frame(condition, columns).select(condition.expression.alias("means").fill_null(False))["means"]
    except MemoryError:
        raise
    except (Exception, polars.exceptions.PanicException) as error:  # noqa: BLE001  (as above)
        raise ValueError(f"cannot be told of an item: {_first_line(error)}") from None
    if found.dtype != polars.Boolean or len(found) != len(columns.items):
        raise ValueError("must say true or false of each item by itself")
    means: NDArray[np.bool_] = found.to_numpy().astype(np.bool_)
    return means


def _refuse_odd_words(rule_id: str, sql: str) -> None:
    """What the allow-list does not have; polars would refuse most of it, and this says which word it was."""
    depth, plain = 0, _TEXTS.sub("''", sql)
    if "\x00" in sql:
        raise _wrong(rule_id, "has a NUL in it")
    tokens = _TOKENS.findall(plain)
    for at, word in enumerate(tokens):
        if word in "([":
            depth += 1
            if depth > DEPTH_MAX:
                raise _wrong(rule_id, f"has more than {DEPTH_MAX} brackets in each other")
        elif word in ")]":
            depth -= 1
        elif word == ";":
            raise _wrong(rule_id, "has a `;` in it")
        elif word[0].isalpha() or word[0] in '_"':
            _refuse_word(rule_id, tokens, at)


def _refuse_word(rule_id: str, tokens: list[str], at: int) -> None:
    word = tokens[at].strip('"')
    if at >= 2 and tokens[at - 1] == "." and tokens[at - 2].strip('"').lower() == "attributes":
        return
    is_called = at + 1 < len(tokens) and tokens[at + 1] == "("
    lower = word.lower()
    if is_called and lower not in FUNCTIONS and lower not in WORDS:
        raise _wrong(rule_id, f"uses the function `{word[:40]}`; there are {', '.join(sorted(FUNCTIONS))}")
    if not is_called and lower not in WORDS and word not in COLUMNS:
        raise _wrong(rule_id, f"names the column `{word[:40]}`; there are {', '.join(COLUMNS)}.NAME")


_SAMPLES: Final = (
    CatalogItem("a", "A", ("x", "y"), language="en", price=1.0, published_at_ms=0, attributes=(("a", "b"),)),
    CatalogItem("b", "B", (), price=None),
    CatalogItem("c", "C c", ("z",), language="de", price=99.5, available=False, published_at_ms=10**12),
)


def _probe(rule_id: str, condition: Condition) -> None:
    """Say something of items one by one and together: the same, or it is not about items."""
    counts = np.array([0.0, 5.0, 100.0])
    try:
        together = evaluate(condition, ItemColumns(_SAMPLES, counts, 10**12))
        alone = [evaluate(condition, ItemColumns([item], counts[n : n + 1], 10**12)) for n, item in enumerate(_SAMPLES)]
    except ValueError as error:
        raise _wrong(rule_id, str(error)) from None
    if together.tolist() != [bool(each[0]) for each in alone]:
        raise _wrong(rule_id, "must say true or false of each item by itself")


def _polars() -> Any:
    """The library, which takes a quarter of a second that a worker without rules need not wait."""
    import polars  # noqa: PLC0415

    return polars


def _frame(condition: Condition, columns: ItemColumns) -> Any:
    pl = _polars()
    items = columns.items
    published = [item.published_at_ms for item in items]
    given: dict[str, Any] = {
        "item_id": pl.Series([item.item_id for item in items], dtype=pl.String),
        "title": pl.Series([item.title for item in items], dtype=pl.String),
        "language": pl.Series([item.language for item in items], dtype=pl.String),
        "categories": pl.Series([list(item.categories) for item in items], dtype=pl.List(pl.String)),
        "price": pl.Series([item.price for item in items], dtype=pl.Float64),
        "available": pl.Series([item.available for item in items], dtype=pl.Boolean),
        "published_at": pl.Series(published, dtype=pl.Int64),
        "popularity": pl.Series(columns.popularity),
        "age_h": pl.Series(
            [None if at is None else (columns.now_ms - at) / HOUR_MS for at in published], dtype=pl.Float64
        ),
    }
    if condition.attributes:
        told = [dict(item.attributes) for item in items]
        given["attributes"] = pl.Series(
            [{name: each.get(name) for name in condition.attributes} for each in told],
            dtype=pl.Struct(dict.fromkeys(condition.attributes, pl.String)),
        )
    return pl.DataFrame(given)


def _wrong(rule_id: str, reason: str) -> UsageError:
    return UsageError(f"rule {rule_id[:64]!r}: the condition {reason}.", "see deploy/docs/rules.md")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
