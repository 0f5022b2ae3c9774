"""stream/state/standing.py"""

from __future__ import annotations

import pytest
from places import GOLDEN

from stream.errors import CorruptStateError
from stream.state.standing import Standing, erased_key, pack_standing, read_standing


@pytest.mark.parametrize(
    "standing", [Standing("restricted", 5, 9), Standing("objecting", 0, 0), Standing("erased", 2**40, -1)]
)
def test_a_mark_comes_back_as_it_was(standing: Standing) -> None:
    assert read_standing(pack_standing(standing)) == standing


def test_version_1_is_read_and_written_as_it_was() -> None:
    stored = bytes.fromhex((GOLDEN / "standing_mark_v1.hex").read_text().strip())
    assert pack_standing(Standing("objecting", 77, 1_767_225_600_000)) == stored


@pytest.mark.parametrize("value", [b"", b"\x01", b"\x02" + bytes(17), b"\x01\x09" + bytes(16)])
def test_other_bytes_are_refused(value: bytes) -> None:
    with pytest.raises(CorruptStateError):
        read_standing(value)


def test_the_mark_of_an_erased_person_is_found_by_who_has_the_id_and_names_them_to_nobody() -> None:
    assert erased_key(b"u1", b"salt" * 8) == erased_key(b"u1", b"salt" * 8)
    assert erased_key(b"u1", b"salt" * 8) != erased_key(b"u1", b"pepp" * 8)
    assert b"u1" not in erased_key(b"u1", b"salt" * 8)
