"""Placements as a person names them."""

from __future__ import annotations

from stream.errors import UsageError
from stream.settings import Settings
from stream.settings.placements import HOME


def checked_placement(settings: Settings, name: str) -> str:
    """The name, if there is such a placement.

    Raises:
        UsageError: there is none.
    """
    there_are = [HOME, *settings.placement_topics()]
    if name not in there_are:
        raise UsageError(
            f"there is no placement {name[:64]!r} in the settings; there are: {', '.join(there_are)}.",
            "name one of them",
        )
    return name


def topic_of(settings: Settings, name: str) -> str:
    """Where its lists are.

    Raises:
        UsageError: there is no such placement.
    """
    return settings.placement_topics().get(checked_placement(settings, name), settings.topic_recommendations)
