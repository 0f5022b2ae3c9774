"""What is promised, and how much one person may contribute: checked once, here."""

from __future__ import annotations

from typing import Final, NamedTuple

MOST_RELEASES: Final = 10_000
"""In one horizon."""

LEAST_EPSILON: Final = 1e-3
MOST_EPSILON: Final = 50.0
"""Beyond it nothing is promised that anybody would notice: e^50 is more than there are atoms in a cell."""


class PrivacyBoundsError(ValueError):
    """A promise that means nothing; one line that names the number and what it may be."""


class Promise(NamedTuple):
    """(epsilon, delta) differential privacy of one person over all releases of a horizon together."""

    epsilon: float
    """Above 0. The chance of whatever is concluded from the releases is at most e^epsilon times what it is without the
    person, but for `delta`."""
    delta: float
    """In (0, 1), far below one over the number of people."""


class Contribution(NamedTuple):
    """What is counted of one person at most, over all releases of a horizon together."""

    items: int
    """First engagements that count for items."""
    pairs: int
    """Pairs of items that both are theirs."""
    window: int
    """A new item makes pairs with so many items that the person had just before it."""


def checked_promise(epsilon: float, delta: float) -> Promise:
    """The promise.

    Raises:
        PrivacyBoundsError: epsilon is not a number between `LEAST_EPSILON` and `MOST_EPSILON`, or delta not in (0, 1).
    """
    if not LEAST_EPSILON <= epsilon <= MOST_EPSILON:
        raise PrivacyBoundsError(
            f"epsilon is {epsilon:g}: it has to lie between {LEAST_EPSILON:g} and {MOST_EPSILON:g} (1 is strong, 8 weak)"
        )
    if not 0.0 < delta < 1.0:
        raise PrivacyBoundsError(f"delta is {delta:g}: it has to lie between 0 and 1, far below 1 / number of people")
    return Promise(epsilon, delta)


def checked_contribution(items: int, pairs: int, window: int) -> Contribution:
    """The bounds.

    Raises:
        PrivacyBoundsError: one of them is below 1.
    """
    for name, value in (("items", items), ("pairs", pairs), ("window", window)):
        if value < 1:
            raise PrivacyBoundsError(f"{name} of a person: {value} is too few, at least 1 has to count")
    return Contribution(items, pairs, window)


def checked_releases(releases: int) -> int:
    """How many releases a horizon has.

    Raises:
        PrivacyBoundsError: not between 1 and `MOST_RELEASES`.
    """
    if not 1 <= releases <= MOST_RELEASES:
        raise PrivacyBoundsError(f"{releases} releases in a horizon: it has to be 1 to {MOST_RELEASES:,}")
    return releases
