"""models/items/growing.py"""

from __future__ import annotations

import numpy as np
import pytest

from models.items.growing import FIRST_ROWS, GrowingArray


@pytest.mark.parametrize("reserved_rows", [0, 3, 1 << 20])
def test_rows_keep_their_values_and_new_ones_are_filled_however_much_was_reserved(reserved_rows: int) -> None:
    array = GrowingArray(np.int64, 2, fill=-1, reserved_rows=reserved_rows)
    for rows in (1, 2, 3, FIRST_ROWS + 1, FIRST_ROWS, 5000):
        before = array.values.copy()
        array.grow(rows)
        assert len(array) == max(len(before), rows)
        assert (array.values[: len(before)] == before).all()
        assert (array.values[len(before) :] == -1).all()
        array.values[:] = np.arange(len(array))[:, None] + 1


def test_where_rows_were_reserved_growing_moves_nothing() -> None:
    array = GrowingArray(np.float64, 300)
    array.grow(1)
    view = array.values
    array.grow(100_000)
    array.values[0, 5] = 7.0
    assert view[0, 5] == 7.0
    assert not array.values[99_999].any()


def test_where_no_address_space_is_left_it_grows_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("Cannot allocate memory")

    monkeypatch.setattr("models.items.growing.mmap.mmap", refuse)
    array = GrowingArray(np.int32)
    array.grow(9)
    assert array.values.tolist() == [0] * 9
