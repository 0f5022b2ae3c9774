"""Settings of placements that would not do what they say."""

from __future__ import annotations

from typing import Any

import pytest

from stream.errors import SettingsError
from stream.settings import load_settings
from stream.settings.experiments import ExperimentSettings
from stream.settings.placements import PlacementSettings


def home(**given: Any) -> dict[str, Any]:
    return {"placements": {"home": PlacementSettings.model_validate(given)}}


def test_places_that_explore_have_to_fit_into_the_list() -> None:
    load_settings(**home(slots=4, explore={"slots": 1}))
    load_settings(top_k=10, **home(explore={"slots": 3, "from_place": 8}))
    for given, says in (
        (
            home(slots=3, explore={"slots": 1}),
            r"\[placements\.home\] has 3 places, so 1 that explore do not fit from place 4 on",
        ),
        (home(slots=4, explore={"slots": 2}), "has 4 places, so 2"),
        (home(explore={"slots": 3, "from_place": 8}) | {"top_k": 9}, "has 9 places, so 3 .* from place 8"),
    ):
        with pytest.raises(SettingsError, match=says) as refused:
            load_settings(**given)
        assert "\n" not in str(refused.value)


def test_so_they_have_in_every_arm() -> None:
    arms = {"arms": {"a": 0.5, "b": 0.5}, "changes": {"b": {"home": {"explore": {"from_place": 9}}}}}
    experiment = {"experiments": {"later": ExperimentSettings.model_validate(arms)}}
    load_settings(**home(slots=9, explore={"slots": 1}), **experiment)
    with pytest.raises(SettingsError, match=r"of arm 'b' of experiment 'later' has 8 places"):
        load_settings(**home(slots=8, explore={"slots": 1}), **experiment)
