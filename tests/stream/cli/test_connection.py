"""What is refused before anything connects."""

from __future__ import annotations

import pytest

from stream.cli.connection import refuse_releases
from stream.errors import SettingsError
from stream.settings import load_settings


def test_what_serves_refuses_a_promise_that_it_does_not_keep():
    with pytest.raises(SettingsError, match=r"dp_epsilon is 4, but .* Fix: leave dp_epsilon at 0") as refused:
        refuse_releases(load_settings(dp_epsilon=4.0))
    assert "\n" not in str(refused.value)


def test_without_a_promise_it_serves():
    refuse_releases(load_settings())


@pytest.mark.parametrize(
    ("name", "value"),
    [("dp_epsilon", -1.0), ("dp_epsilon", 51.0), ("dp_delta", 0.0), ("dp_delta", 1.0), ("dp_items", 0), ("dp_pairs", 0),
     ("dp_pair_window", 0), ("dp_near_items", 0), ("dp_releases", 0), ("dp_release_h", 0.0)],
)  # fmt: skip
def test_a_promise_that_means_nothing_is_one_line_that_names_the_setting(name, value):
    with pytest.raises(SettingsError, match=name.replace("_", "-")) as refused:
        load_settings(**{name: value})
    assert "\n" not in str(refused.value)
