"""A few thousand odd inputs for each target in CI, without Atheris; `make fuzz` runs it for long."""

from __future__ import annotations

import random

import pytest
from fuzz_targets import TARGETS

INPUTS = 1500


@pytest.mark.parametrize("name", TARGETS)
def test_what_reads_the_bytes_of_others_takes_anything(name: str) -> None:
    target, rng = TARGETS[name], random.Random(f"fuzz {name}")
    for seed in target.seeds:
        target.read(seed)
    for _ in range(INPUTS):
        data = mutated(rng, rng.choice(target.seeds))
        try:
            target.read(data)
        except Exception as error:  # noqa: BLE001  (whatever it is, it is the finding)
            pytest.fail(f"{name} let {type(error).__name__} ({error}) through for {data!r}")


def mutated(rng: random.Random, seed: bytes) -> bytes:
    """A seed with some bytes changed, taken out, put in or repeated."""
    data = bytearray(seed)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(5):
            case 0 if at < len(data):
                data[at] = rng.randrange(256)
            case 1:
                del data[at : at + rng.choice((1, 2, 8))]
            case 2:
                data[at:at] = rng.randbytes(rng.choice((1, 2, 8)))
            case 3:
                data[at:at] = data[at : at + rng.choice((4, 32))]
            case _ if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
    return bytes(data)


def test_a_target_that_lets_something_through_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(data: bytes) -> None:
        if b"\0" not in data:
            raise KeyError("no key")

    monkeypatch.setitem(TARGETS, "event", TARGETS["event"]._replace(read=careless))
    with pytest.raises(pytest.fail.Exception, match="event let KeyError"):
        test_what_reads_the_bytes_of_others_takes_anything("event")
