"""Categories named by patterns: `*` stands for anything, `?` for one character; upper and lower case are alike."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fnmatch import translate
from functools import lru_cache
from typing import Final

REMEMBERED: Final = 100_000
"""Categories whose answer is kept."""


def category_pattern(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Whether a category is one that any of the patterns means, wholly and not in part; of no patterns: never."""
    if not patterns:
        return lambda _category: False
    means = re.compile("|".join(translate(each.casefold()) for each in patterns))

    @lru_cache(REMEMBERED)
    def is_meant(category: str) -> bool:
        return means.match(category.casefold()) is not None

    return is_meant
