"""People divided by chance, who get lists that are made otherwise. In `penchant.toml`:

[experiments.diverse]
arms = { control = 0.5, treatment = 0.5 }

[experiments.diverse.changes.treatment.home]
diversity = 0.3
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from models.experiments.assignment import HOLDOUT, Experiment
from stream.settings.placements import HOME, PlacementName, Placements, PlacementSettings

Name = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,64}$")]
Weight = Annotated[float, Field(gt=0, le=1)]

ARMS_MAX: Final = 20


class ExperimentSettings(BaseModel):
    """One experiment."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    salt: str | None = Field(
        None, max_length=64, description="Another one divides people otherwise; default: the experiment's name"
    )
    share: Annotated[float, Field(gt=0, le=1)] = Field(1.0, description="Of all people, who take part")
    arms: dict[Name, Weight] = Field(description="Names and weights, which sum to 1")
    control: str | None = Field(
        None,
        description="The arm that others are compared with; default: the one named `control`, else the first by name",
    )
    holdout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="Share of the experiment's people who are in no arm"
    )
    changes: dict[Name, dict[PlacementName, PlacementSettings]] = Field(
        {}, description="By arm and placement: settings that are otherwise than in `[placements.NAME]`"
    )

    weights: dict[Name, Path] = Field(
        {},
        description="By arm: a file of ranking weights (`penchant train weights`) that rank instead of those that serve",
    )

    @field_validator("arms")
    @classmethod
    def _weights_sum_to_1(cls, value: dict[str, float]) -> dict[str, float]:
        if HOLDOUT in value:
            raise ValueError(f"an arm cannot be called {HOLDOUT!r}, which is who is in none")
        if not 1 <= len(value) <= ARMS_MAX:
            raise ValueError(f"from 1 to {ARMS_MAX} arms are needed")
        if not math.isclose(sum(value.values()), 1.0, abs_tol=1e-9):
            raise ValueError(f"the weights of the arms sum to {sum(value.values()):g}, not to 1")
        return value

    @field_validator("changes")
    @classmethod
    def _may_change(cls, value: dict[str, dict[str, PlacementSettings]]) -> dict[str, dict[str, PlacementSettings]]:
        for arm, placements in value.items():
            for changed in placements.values():
                for name in ("slots", "topic", "rows", "audience"):
                    if name in changed.model_fields_set:
                        raise ValueError(f"arm {arm!r}: `{name}` is the same in all arms in this release")
        return value

    @model_validator(mode="after")
    def _arms_exist(self) -> Self:
        for name in ("changes", "weights"):
            for arm in getattr(self, name):
                if arm not in self.arms:
                    raise ValueError(f"`{name}` names the arm {arm!r}, which `arms` has not")
        if self.control is not None and self.control not in self.arms:
            raise ValueError(f"`control` names the arm {self.control!r}, which `arms` has not")
        if len(self.arms) == 1 and not self.holdout:
            raise ValueError("one arm and no `holdout` leave nothing to compare")
        return self

    @property
    def control_arm(self) -> str:
        """That the others are compared with."""
        return self.control or ("control" if "control" in self.arms else min(self.arms))


class Experiments(Placements):
    """People divided by chance."""

    experiments: dict[Name, ExperimentSettings] = Field(
        {},
        description="Experiments by name: tables `[experiments.NAME]`, see deploy/docs/experiments.md",
    )

    @field_validator("experiments")
    @classmethod
    def _salts_differ(cls, value: dict[str, ExperimentSettings]) -> dict[str, ExperimentSettings]:
        # With one salt for both, everybody of one is in the other.
        by_salt: dict[str, str] = {}
        for name in sorted(value):
            other = by_salt.setdefault(value[name].salt or name, name)
            if other != name:
                raise ValueError(f"experiments {other!r} and {name!r} have the same salt and so the same people")
        return value

    def experiments_in_order(self) -> tuple[Experiment, ...]:
        """By name: the first one that a person is in counts. Arms are in the order of their names, not of a file's lines:
        so all workers divide people alike."""
        return tuple(
            Experiment(
                name, each.salt or name, each.share, tuple(sorted(each.arms.items())), each.control_arm, each.holdout
            )
            for name, each in sorted(self.experiments.items())
        )

    def arms(self) -> list[str]:
        """Of all experiments, `EXPERIMENT/ARM`, in order."""
        return [f"{name}/{arm}" for name, each in sorted(self.experiments.items()) for arm in sorted(each.arms)]

    @model_validator(mode="after")
    def _change_what_is_there(self) -> Self:
        for experiment, each in sorted(self.experiments.items()):
            for arm, placements in each.changes.items():
                for name in sorted(set(placements) - {HOME, *self.placements}):
                    raise ValueError(f"experiment {experiment!r}, arm {arm!r}: there is no placement {name!r}")
        return self

    def placements_of_all(self) -> Iterator[tuple[str, PlacementSettings]]:
        """Each placement as people in no experiment have it and as each arm has it, with what to call it."""
        for placement in sorted({HOME, *self.placements}):
            table = f"[placements.{placement}]"
            if placement in self.placements:
                yield table, self.placements[placement]
            for name, each in sorted(self.experiments.items()):
                for arm in sorted(each.arms):
                    yield f"{table} of arm {arm!r} of experiment {name!r}", self.placement_of(placement, name, arm)

    def placement_of(
        self, placement: str, experiment: str, arm: str, base: PlacementSettings | None = None
    ) -> PlacementSettings:
        """A placement as an arm has it; of the control or the holdout mostly as everybody else has it. `base`: as everybody has
        it, where that is not what the settings say."""
        if base is None:
            base = self.placements.get(placement) or PlacementSettings.model_validate({})
        changed = self.experiments[experiment].changes.get(arm, {}).get(placement)
        return base if changed is None else changed_by(base, changed)


def changed_by(base: PlacementSettings, changed: PlacementSettings) -> PlacementSettings:
    """`base` with what `changed` says."""
    return PlacementSettings.model_validate(
        _merged(base.model_dump(exclude_unset=True), changed.model_dump(exclude_unset=True))
    )


def _merged(base: dict[str, Any], changed: dict[str, Any]) -> dict[str, Any]:
    """`base` with what is changed; tables within are merged, too."""
    found = dict(base)
    for name, value in changed.items():
        inside = found.get(name)
        found[name] = _merged(inside, value) if isinstance(value, dict) and isinstance(inside, dict) else value
    return found
