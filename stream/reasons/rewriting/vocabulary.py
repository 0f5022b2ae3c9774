"""What a rewritten sentence may be made of: the texts of its language, other ways to say them, and words that claim nothing.

A closed vocabulary and not a list of forbidden words: a cause that nobody thought of ("it is on sale") is outside of it.
One file a language in `stream/rewriting_words`; without one, only the words of the language file itself.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.resources import files
from itertools import takewhile
from typing import Any, Final, NamedTuple

from stream.errors import InputFileError
from stream.reasons.language import ACTIONS_TOLD, Language, languages

TITLE: Final = "\0"
"""Stands for a title with its quotes; no text that was checked has it."""

_CJK: Final = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
CJK: Final = re.compile(f"[{_CJK}]")
"""A character of the scripts that Chinese and Japanese are written in."""

_OF_A_SPACED_WORD: Final = rf"[^\W{_CJK}]"

Kind = str
"""`cause`, `time`, `claim`, `subject` or `connecting`."""


class Piece(NamedTuple):
    """A stretch of a sentence that is known."""

    kind: Kind
    value: str
    """Of a cause its action, of a claim its name, else the text itself."""
    titles: int = 0


class Words(NamedTuple):
    """The file of a language in `stream/rewriting_words`."""

    joiners: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    connecting: tuple[str, ...] = ()
    actions: tuple[tuple[str, str], ...] = ()
    """`(action, text with one {title})`."""


class Vocabulary(NamedTuple):
    """All that may be said in one language, ready for use."""

    opening: str
    closing: str
    words: Words
    known: dict[str, Piece]
    pattern: re.Pattern[str]
    """One known stretch, the longest first."""
    titles: re.Pattern[str]
    """A title, or several that are joined."""

    def pieces(self, outside: str) -> Iterator[Piece | None]:
        """The stretches of a sentence whose titles are `TITLE`; None, and the end, at the first that is not known."""
        text = normalised(outside)
        at = 0
        while at < len(text):
            found = self.pattern.match(text, at)
            if found is None:
                yield None
                return
            said = found[1]
            known = self.known[self.titles.sub(TITLE, said).replace(" ", "")]
            yield known._replace(titles=said.count(TITLE))
            at = found.end()


def normalised(text: str) -> str:
    """Without differences that mean nothing: case, spaces."""
    return " ".join(text.casefold().split(" ")).strip()


@cache
def vocabulary(code: str) -> Vocabulary:
    """The vocabulary of a language that there is a file for.

    Raises:
        InputFileError: its file in `stream/rewriting_words` is not what it should be; it says what.
    """
    language = languages()[code]
    file = files("stream.reasons.rewriting").joinpath("words", f"{code}.toml")
    words = read_words(code, file.read_text(encoding="utf-8")) if file.is_file() else Words()
    return _made(language, words)


def read_words(code: str, text: str) -> Words:
    """The words of the TOML `text` of a file.

    Raises:
        InputFileError: something is missing, unknown, or no text.
    """
    try:
        table = tomllib.loads(text)
        if set(table) != {"joiners", "subjects", "connecting", "actions"}:
            raise ValueError("it must have joiners, subjects, connecting and actions, and nothing else")
        if not isinstance(table["actions"], dict) or set(table["actions"]) != set(ACTIONS_TOLD):
            raise ValueError(f"actions must have {', '.join(ACTIONS_TOLD)}, and nothing else")
        forms = [(action, form) for action, texts in table["actions"].items() for form in _texts(texts, action)]
        if wrong := next((form for _, form in forms if form.count("{title}") != 1), None):
            raise ValueError(f"{wrong!r} must have one {{title}}")
        joiners, subjects, connecting = (_texts(table[name], name) for name in ("joiners", "subjects", "connecting"))
        return Words(joiners, subjects, connecting, tuple(forms))
    except ValueError as error:  # tomllib's decode error is one
        raise InputFileError(f"rewriting_words/{code}.toml: {error}.", "write what en.toml has") from None


def time_texts(language: Language) -> tuple[str, ...]:
    """Every text of a time that the language has, as it stands beside a behaviour."""
    untold_before, untold_after = language.causes["view"][0]
    found: dict[str, None] = {}
    for before, after in language.causes["view"][1:]:
        time = _added(untold_before, before) + _added(untold_after, after)
        if time:
            found[time] = None
    return tuple(found)


def _made(language: Language, words: Words) -> Vocabulary:
    quotes = [chr(quote) for quote in language.quotes]
    opening, closing = quotes[0], quotes[-1]
    known: dict[str, Piece] = {}
    texts: list[str] = []

    def add(text: str, kind: Kind, value: str = "") -> None:
        text = normalised(text)
        if text and known.setdefault(text.replace(" ", ""), Piece(kind, value or text)) == Piece(kind, value or text):
            texts.append(text)

    for action in ACTIONS_TOLD:
        before, after = language.causes[action][0]
        add(f"{before.removesuffix(opening)}{TITLE}{after.removeprefix(closing)}", "cause", action)
    for action, form in words.actions:
        add(form.replace("{title}", TITLE), "cause", action)
    for time in time_texts(language):
        add(time, "time")
    for name, claim in language.claims.items():
        add(_without_stop(claim), "claim", name)
    for subject in words.subjects:
        add(subject, "subject")
    glue = [piece for pieces in language.because for piece in pieces]
    for text in (*glue, *words.connecting, *_stops(language.claims.values())):
        add(text, "connecting")
    joined = _joined(words.joiners, is_optional=_stand_alone(language))
    choices = "|".join(_edged(text).replace(TITLE, joined) for text in sorted(texts, key=len, reverse=True))
    return Vocabulary(opening, closing, words, known, re.compile(f"({choices}) *"), re.compile(joined))


def _joined(joiners: Iterable[str], *, is_optional: bool) -> str:
    between = "|".join(_edged(normalised(each)) for each in sorted(joiners, key=len, reverse=True))
    return f"{TITLE}(?: *(?:{between}){'?' * is_optional} *{TITLE})*" if between else TITLE


def _stand_alone(language: Language) -> bool:
    """Whether titles may stand side by side with nothing between their quotes."""
    quotes = "".join(map(chr, language.quotes))
    return any(not piece.strip(quotes + " ") for pieces in language.joins for piece in pieces)


def _edged(text: str) -> str:
    """A pattern of the text; where words are told apart by spaces, it ends with a word (what follows then begins with one)."""
    pattern = re.escape(text).replace(r"\ ", " ").replace(re.escape(TITLE), TITLE).replace(TITLE, f" *{TITLE} *")
    after = f"(?!{_OF_A_SPACED_WORD})" if re.match(_OF_A_SPACED_WORD, text[-1]) else ""
    return f"{pattern}{after}"


def _added(shorter: str, longer: str) -> str:
    """What `longer` has that `shorter` has not, in one place."""
    start = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(shorter, longer, strict=False)))
    return longer[start : len(longer) - (len(shorter) - start)].strip()


def _without_stop(text: str) -> str:
    return text[:-1] if not text[-1].isalnum() else text


def _stops(texts: Iterable[str]) -> Iterator[str]:
    return (text[-1] for text in texts if not text[-1].isalnum())


def _texts(value: Any, name: str) -> tuple[str, ...]:
    if not (isinstance(value, list) and all(isinstance(each, str) and each.strip() for each in value)):
        raise ValueError(f"{name} must be a list of texts")
    return tuple(value)
