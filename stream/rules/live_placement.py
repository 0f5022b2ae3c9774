"""A placement as the topic of rules changes it while workers run: settings that count instead of those of `penchant.toml`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from stream.errors import UsageError
from stream.settings import Settings
from stream.settings.experiments import changed_by
from stream.settings.faults import first_fault
from stream.settings.placements import HOME, PlacementSettings, misfit

Refusal = Callable[[str, PlacementSettings], str | None]
"""Why a placement of this name cannot be changed so; None: it can."""


def placement_from(name: str, given: Any) -> PlacementSettings:
    """What is to be otherwise, of plain values.

    Raises:
        UsageError: that cannot be; one line that names the placement and the field.
    """
    try:
        changed = PlacementSettings.model_validate(given)
    except ValidationError as error:
        field, reason = first_fault(error)
        raise UsageError(
            f"placement {name[:64]!r}: {f'`{field}`: ' if field else ''}{reason}.", "see deploy/docs/placements.md"
        ) from None
    for fixed in ("topic", "audience"):
        if fixed in changed.model_fields_set:
            raise UsageError(
                f"placement {name[:64]!r}: `{fixed}` cannot be changed while workers run.", "set it in penchant.toml"
            )
    return changed


def placement_from_json(name: str, value: bytes) -> PlacementSettings:
    """As it stands on the topic.

    Raises:
        UsageError: it is none.
    """
    try:
        given = json.loads(value)
    except (ValueError, RecursionError):
        raise UsageError(f"placement {name[:64]!r} is no JSON.", "publish it with `penchant rules apply`") from None
    return placement_from(name, given)


def placement_to_json(changed: PlacementSettings) -> bytes:
    """As it stands on the topic: what it says."""
    return json.dumps(changed.model_dump(exclude_unset=True), ensure_ascii=False).encode()


def refusal_by(settings: Settings) -> Refusal:
    """What the settings of a worker allow."""

    def why_not(name: str, changed: PlacementSettings) -> str | None:
        if name != HOME and name not in settings.placements:
            return f"there is no placement {name[:64]!r} in penchant.toml, whose lists need a topic"
        base = settings.placements.get(name) or PlacementSettings.model_validate({})
        live = changed_by(base, changed)
        arms = [(experiment, arm) for experiment, each in settings.experiments.items() for arm in each.arms]
        of_all = [live, *(settings.placement_of(name, *arm, base=live) for arm in arms)]
        why = next((why for each in of_all if (why := misfit(each, settings.top_k)) is not None), None)
        return None if why is None else f"placement {name!r} {why}"

    return why_not
