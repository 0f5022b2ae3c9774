"""Who is in which arm: a pure function of the person's id, the same on every worker, after rebalances and in replays.

BLAKE2b with a 16-byte digest over `salt`, a zero byte and the id (UTF-8). Its first 8 bytes, little-endian, divided by
2**64, say whether a person is in the experiment at all (`< share`), its last 8 in which arm. The two are independent, so a
larger share takes more people in and moves nobody who is in."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final, NamedTuple

HOLDOUT: Final = "holdout"
"""People of the experiment who get none of its arms: lists are for them as if there were no experiment."""

_HASHES: Final = 2.0**64


class Experiment(NamedTuple):
    """Who takes part, and how they are divided."""

    name: str
    salt: str
    """Another one divides people otherwise."""
    share: float
    """Of all people, above 0, at most 1."""
    arms: tuple[tuple[str, float], ...]
    """Names and weights; the weights sum to 1."""
    control: str
    """The arm that the others are compared with."""
    holdout: float = 0.0
    """Share of the experiment's people who are in no arm."""

    @property
    def shares(self) -> dict[str, float]:
        """By arm, and of the holdout if there is one: the share of the experiment's people that is expected there."""
        found = {name: weight * (1.0 - self.holdout) for name, weight in self.arms}
        return found | ({HOLDOUT: self.holdout} if self.holdout else {})


def arm_of(experiment: Experiment, user_id: bytes) -> str | None:
    """The arm of a person, `HOLDOUT`, or None: not in the experiment."""
    digest = blake2b(experiment.salt.encode() + b"\x00" + user_id, digest_size=16).digest()
    if int.from_bytes(digest[:8], "little") / _HASHES >= experiment.share:
        return None
    place = int.from_bytes(digest[8:], "little") / _HASHES
    if place < experiment.holdout:
        return HOLDOUT
    place = (place - experiment.holdout) / (1.0 - experiment.holdout)
    end = 0.0
    for name, weight in experiment.arms:
        end += weight
        if place < end:
            return name
    return experiment.arms[-1][0]  # weights may sum to a little less than 1


def assigned(experiments: tuple[Experiment, ...], user_id: bytes) -> tuple[str, str] | None:
    """The one experiment that a person is in, and their arm; of several the first by order counts. None: in none."""
    for experiment in experiments:
        arm = arm_of(experiment, user_id)
        if arm is not None:
            return experiment.name, arm
    return None
