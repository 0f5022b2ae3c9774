"""Languages of the reasons: one file each in `stream/languages`, checked when it is read and made ready for use.

A sentence is put together from strings that are already cut at the places where titles go, so that one costs a few
concatenations. A language is added by adding its file: `languages()` then has it, and `stream.reasons.sentence.say` speaks it.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.resources import files
from typing import Any, Final, NamedTuple

from stream.errors import InputFileError, SettingsError
from stream.reasons import ago as time_told
from stream.reasons.plural import CATEGORIES, category

ACTIONS_TOLD: Final = ("view", "click", "like", "cart", "purchase", "query")
"""Actions that can be a reason."""

ACTIONS_OWN: Final = ACTIONS_TOLD[:-1]
"""Of those the ones that can be done with the item itself."""

CLAIMS: Final = (
    "sequence",
    "context",
    "trend_this_week",
    "trend",
    "popularity_many",
    "popularity",
    "age",
    "new",
    "explore",
    "rules",
    "promoted",
    "fatigue",
    "none",
    "withheld",
)
"""What can be said without naming a behaviour."""

ROW_TITLES: Final = ("again", "people", "interests", "new", "explore", "more")
"""Titles of rows of a page that neither name a behaviour nor are a claim; see `stream.refresh.rows`."""

_UNITS: Final = (("days", time_told.DAYS, 14), ("weeks", time_told.WEEKS, 9), ("months", time_told.MONTHS, 13),
                 ("years", time_told.YEARS, time_told.CODES - time_told.YEARS))  # fmt: skip
_PLACEHOLDER: Final = re.compile(r"\{(\w*)\}")


class Language(NamedTuple):
    """One language, ready to speak."""

    code: str
    because: tuple[tuple[str, ...], ...]
    """The sentence of one, two, three causes, cut where the causes go."""
    joins: tuple[tuple[str, ...], ...]
    """What stands between one, two, three titles that have their verb in common."""
    own: dict[str, tuple[str, ...]]
    """By action, by code of `stream.reasons.ago`: the sentence of an item that is its own reason."""
    causes: dict[str, tuple[tuple[str, str], ...]]
    """By action, by code of `stream.reasons.ago`: what stands before and after the title."""
    claims: dict[str, str]
    rows: dict[str, str]
    """By name of `ROW_TITLES`."""
    same_time: tuple[int, ...]
    """By code of `stream.reasons.ago`: the first code that is told with the same words."""
    is_shared_time_last: bool
    """A time that all causes have in common is said of the last one, else of the first."""
    quotes: dict[int, str]
    """For `str.translate`: quotes of this language -> those inside quotes."""


def read_language(code: str, text: str) -> Language:
    """A language of the TOML `text` of its file.

    Raises:
        InputFileError: something is missing, unknown or has not the placeholders it must have; it says what.
    """
    try:
        table = tomllib.loads(text)
        _only(
            table,
            "",
            ("quotes", "nested_quotes", "plural", "because", "titles", "own", "actions", "time", "claims", "rows"),
        )
        times = _times(table["time"], _plural(table["plural"]))
        return Language(
            code,
            _because(table["because"]),
            _joins(table["titles"]),
            _own(table["own"], times),
            _causes(table["actions"], times),
            _named(table["claims"], "claims", CLAIMS),
            _named(table["rows"], "rows", ROW_TITLES),
            tuple(times.index(time) for time in times),
            _is_last(table["time"]["shared"]),
            _quotes(table["quotes"], table["nested_quotes"]),
        )
    except (ValueError, TypeError) as error:  # tomllib's decode error is a ValueError
        raise InputFileError(f"languages/{code}.toml: {error}.", "write what en.toml has, in that language") from None


@cache
def languages() -> dict[str, Language]:
    """Every language there is a file for, by its code."""
    found = {}
    for file in sorted(files("stream.reasons").joinpath("languages").iterdir(), key=lambda each: each.name):
        code, _, ending = file.name.rpartition(".")
        if ending == "toml":
            found[code] = read_language(code, file.read_text(encoding="utf-8"))
    return found


def languages_named(codes: str) -> tuple[Language, ...]:
    """Those of the setting `explanation_languages`, in its order, each once.

    Raises:
        SettingsError: there is no file for one of them.
    """
    known = languages()
    for code in codes.split(","):
        if code not in known:
            raise SettingsError(
                f"explanation_languages: there is no language {code!r}.", f"name some of {', '.join(known)}"
            )
    return tuple(known[code] for code in dict.fromkeys(codes.split(",")))


@cache
def all_quotes() -> dict[int, str]:
    """Of all languages: a title is cleaned once, whatever language it is then said in."""
    return {quote: inner for each in languages().values() for quote, inner in each.quotes.items()}


def _only(table: Any, name: str, keys: tuple[str, ...], optional: tuple[str, ...] = ()) -> None:
    if not isinstance(table, dict):
        raise ValueError(f"{name} is no table")
    for wrong in (*(key for key in keys if key not in table), *(set(table) - set(keys) - set(optional))):
        raise ValueError(f"{name + '.' if name else ''}{wrong} is {'unknown' if wrong in table else 'missing'}")


def _text(value: Any, name: str, *placeholders: str) -> str:
    """A text with exactly these placeholders, each once."""
    if not isinstance(value, str) or sorted(_PLACEHOLDER.findall(value)) != sorted(placeholders):
        wanted = " and ".join(f"{{{each}}}" for each in placeholders) or "no placeholder"
        raise ValueError(f"{name} must be a text with {wanted}")
    if not (value.isprintable() and value.strip()):
        raise ValueError(f"{name} is empty or has control characters")
    return value


def _plural(rules: Any) -> dict[str, str]:
    _only(rules, "plural", (), CATEGORIES[:-1])
    category(rules, 1)  # all rules are read
    return dict(rules)


def _because(table: Any) -> tuple[tuple[str, ...], ...]:
    _only(table, "because", ("one", "two", "three"))
    return tuple(_cut(table[name], f"because.{name}", n) for n, name in enumerate(("one", "two", "three"), 1))


def _joins(table: Any) -> tuple[tuple[str, ...], ...]:
    _only(table, "titles", ("two", "three"))
    cut = [_cut(table[name], f"titles.{name}", n) for n, name in enumerate(("two", "three"), 2)]
    for name, (first, *_, last) in zip(("two", "three"), cut, strict=True):
        if first or last:
            raise ValueError(f"titles.{name} must begin and end with a title: what stands around them is in actions")
    return ((), *(pieces[1:-1] for pieces in cut))


def _cut(value: Any, name: str, n: int) -> tuple[str, ...]:
    """What stands before, between and after its n causes."""
    places = tuple(str(k) for k in range(1, n + 1))
    text = _text(value, name, *places)
    if tuple(_PLACEHOLDER.findall(text)) != places:
        raise ValueError(f"{name} must name its causes in their order, the strongest first")
    return tuple(_PLACEHOLDER.split(text)[::2])


def _own(table: Any, times: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    _only(table, "own", ACTIONS_OWN)
    texts = {action: _text(value, f"own.{action}", "when") for action, value in table.items()}
    return {action: tuple(text.replace("{when}", time) for time in times) for action, text in texts.items()}


def _causes(table: Any, times: tuple[str, ...]) -> dict[str, tuple[tuple[str, str], ...]]:
    _only(table, "actions", ACTIONS_TOLD)
    causes = {}
    for action, value in table.items():
        text = _text(value, f"actions.{action}", "title", "when")
        before, after = text.split("{title}")
        causes[action] = tuple((before.replace("{when}", time), after.replace("{when}", time)) for time in times)
    return causes


def _named(table: Any, of: str, names: tuple[str, ...]) -> dict[str, str]:
    _only(table, of, names)
    return {name: _text(value, f"{of}.{name}") for name, value in table.items()}


def _quotes(quotes: Any, nested: Any) -> dict[int, str]:
    for each in (quotes, nested):
        if not (isinstance(each, list) and len(each) == 2 and all(isinstance(q, str) and len(q) == 1 for q in each)):
            raise ValueError("quotes and nested_quotes must be two characters each")
    return {ord(quote): inner for quote, inner in zip(quotes, nested, strict=True)}


def _times(table: Any, rules: dict[str, str]) -> tuple[str, ...]:
    """What {when} becomes, by code."""
    _only(table, "time", ("said", "shared", "just_now", "parts_of_day", *(name for name, _, _ in _UNITS)))
    said = _text(table["said"], "time.said", "time")
    times = [""] * time_told.CODES
    times[time_told.JUST_NOW] = _text(table["just_now"], "time.just_now")
    for hour, (today, yesterday) in enumerate(_hours(table["parts_of_day"])):
        times[time_told.TODAY + hour], times[time_told.YESTERDAY + hour] = today, yesterday
    for name, start, end in _UNITS:
        forms = table[name]
        _only(forms, f"time.{name}", (*rules, "other"))
        for form, text in forms.items():
            _text(text, f"time.{name}.{form}", "n")
        for n in range(1, end):
            times[start + n] = forms[category(rules, n)].replace("{n}", str(n))
    return tuple(time and said.replace("{time}", time) for time in times)


def _is_last(shared: Any) -> bool:
    if shared not in {"first", "last"}:
        raise ValueError('time.shared must be "first" or "last"')
    return bool(shared == "last")


def _hours(parts: Any) -> list[tuple[str, str]]:
    """`(today, yesterday)` of each hour of the day."""
    if not isinstance(parts, list):
        raise ValueError("time.parts_of_day is no list")
    for part in parts:
        _only(part, "time.parts_of_day", ("from_hour", "today", "yesterday"))
    starts = [part["from_hour"] for part in parts]
    if starts[:1] != [0] or starts != sorted(set(starts)) or not all(0 <= hour < 24 for hour in starts):
        raise ValueError("time.parts_of_day must begin at hours 0, .. 23 in their order")
    told = [(_text(part["today"], "today"), _text(part["yesterday"], "yesterday")) for part in parts]
    return [told[sum(start <= hour for start in starts) - 1] for hour in range(24)]
