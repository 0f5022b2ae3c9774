"""Texts and numbers as bytes for compiled writers."""

from __future__ import annotations

import numpy as np
import pytest

from stream.refresh.json_bytes import blob, json_texts, put, put_millionths, put_whole


def test_a_blob_of_nothing_is_empty():
    assert (blob([]).data.tolist(), blob([]).ends.tolist()) == ([], [0])


def test_texts_are_written_where_they_are_wanted():
    buffer = np.zeros(20, np.uint8)
    texts = json_texts(["a", '"', "登"])
    end = put(buffer, 1, *texts, 2)
    assert bytes(buffer[1:end]).decode() == '"登"'
    assert bytes(buffer[1 : put(buffer, 1, *texts, 1)]) == b'"\\""'


@pytest.mark.parametrize(
    ("value", "whole", "decimal"),
    [
        (0, "0", "0"),
        (-7, "-7", "-0.000007"),
        (1_500_000, "1500000", "1.5"),
        (-(2**62), str(-(2**62)), "-4611686018427.387904"),
    ],
)
def test_numbers(value, whole, decimal):
    buffer = np.zeros(40, np.uint8)
    assert bytes(buffer[: put_whole(buffer, 0, value)]).decode() == whole
    assert bytes(buffer[: put_millionths(buffer, 0, value)]).decode() == decimal
