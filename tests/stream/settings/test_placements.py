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


def test_lists_of_another_placement_have_a_topic_of_their_own() -> None:
    def placements(**topics: str | None) -> dict[str, Any]:
        made = {name: PlacementSettings.model_validate({"topic": topic}) for name, topic in topics.items()}
        return {"placements": made}

    found = load_settings(**placements(home=None, cart=None, detail="shop.detail"))
    assert found.placement_topics() == {"cart": "interest.recommendations.cart", "detail": "shop.detail"}
    shadow = load_settings(shadow="try", **placements(cart=None, detail="shop.detail"))
    assert shadow.placement_topics() == {"cart": "interest.recommendations.try.cart", "detail": "shop.detail.try"}
    for wrong, says in (
        ({"cart": "interest.events"}, "'cart' has the topic interest.events, which is that of topic_events"),
        ({"a": "x", "b": "x"}, "'b' has the topic x, which is that of placement 'a'"),
        ({"home": "x"}, "the lists of `home` go to `topic_recommendations`"),
        ({f"p{n}": None for n in range(4)}, "there are 5 placements with `home`, 4 at most"),
        ({"cart!": None}, "placements"),
    ):
        with pytest.raises(SettingsError, match=says):
            load_settings(**placements(**wrong))


def test_an_arm_changes_placements_that_are_there() -> None:
    def experiment(**changed: Any) -> dict[str, Any]:
        arms = {"arms": {"a": 0.5, "b": 0.5}, "changes": {"b": {"cart": changed}}}
        return {"experiments": {"x": ExperimentSettings.model_validate(arms)}}

    cart = {"cart": PlacementSettings.model_validate({"slots": 4, "diversity": 0.1})}
    found = load_settings(placements=cart, **experiment(diversity=0.5))
    assert found.placement_of("cart", "x", "b").diversity == 0.5
    assert found.placement_of("cart", "x", "b").slots == 4
    assert found.placement_of("home", "x", "b").diversity == 0.0
    with pytest.raises(SettingsError, match="arm 'b': there is no placement 'cart'"):
        load_settings(**experiment(diversity=0.5))


def test_minors_are_kept_from_something_or_the_settings_are_refused() -> None:
    kids = {"placements": {"kids": PlacementSettings.model_validate({"audience": "minors"})}}
    load_settings(sensitive_categories=("Health*",), **kids)
    with pytest.raises(SettingsError, match="'kids' is for minors, but sensitive_categories names nothing") as refused:
        load_settings(**kids)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("pattern", ["", "  ", "*", "?*", "a\nb", "x" * 201])
def test_a_pattern_of_categories_that_means_nothing_or_everything_is_refused(pattern: str) -> None:
    with pytest.raises(SettingsError, match=r"sensitive.categories") as refused:
        load_settings(sensitive_categories=("toys", pattern))
    assert "\n" not in str(refused.value)


def test_a_variable_that_is_no_json_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENCHANT_SENSITIVE_CATEGORIES", '["Health*", "Politics"]')
    assert load_settings().sensitive_categories == ("Health*", "Politics")
    monkeypatch.setenv("PENCHANT_SENSITIVE_CATEGORIES", "Health*")
    with pytest.raises(SettingsError, match=r"PENCHANT_SENSITIVE_CATEGORIES is no JSON\.") as refused:
        load_settings()
    assert "\n" not in str(refused.value)
