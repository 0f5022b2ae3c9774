"""What is to be otherwise in a simulation, from files."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from stream.analysis.simulation.replay import Candidate
from stream.errors import UsageError
from stream.files.toml_tables import read_toml
from stream.refresh.versions import read_weights
from stream.rules.conditions import parse
from stream.rules.rule import checked_id, rule_of

CHANGEABLE: Final = frozenset(
    {
        "placements", "experiments", "draws_seed", "top_k", "contributions_max", "explained_users", "counterfactual_users",
        "explanation_languages", "strategy_feedback_max", "newcomer_lists", "repeat_purchases", "history_window",
        "neighbours_scored", "interest_points", "interest_candidates", "interest_short_half_life_h",
        "interest_long_half_life_h", "learn_clicks", "dwell_saturation_ms", "strength_view", "strength_click", "strength_like",
        "strength_dislike", "strength_cart", "strength_query", "strength_purchase", "sensitive_categories",
    }
)  # fmt: skip
"""Settings that lists are made with, where statistics are as they were recorded."""

INSTEAD: Final = {"ranking_weights": "name the file with --weights", "sequence_model": "name it with --sequence"}


def read_candidate(file: Path | None, weights: Path | None) -> Candidate | None:
    """Of a TOML file with settings as in penchant.toml and tables `[rules.ID]`, and of ranking weights; None: of neither.

    Raises:
        InputFileError: a file cannot be read.
        UsageError: something in it cannot be.
    """
    if file is None and weights is None:
        return None
    served = None if weights is None else read_weights(weights)
    if file is None:
        return Candidate(weights=served)
    tables = read_toml(file)
    rules = tables.pop("rules", None)
    if rules is not None and not isinstance(rules, dict):
        raise UsageError(f"{file}: `rules` has to be tables [rules.ID].", "see deploy/docs/rules.md")
    for name in tables:
        if name not in CHANGEABLE:
            fix = INSTEAD.get(name, "see deploy/docs/simulate.md")
            raise UsageError(f"{file}: a simulation makes no list with a setting `{name[:64]}`.", fix)
    found = None
    if rules is not None:
        found = {checked_id(rule_id): rule_of(rule_id, given) for rule_id, given in rules.items()}
        for rule_id, rule in found.items():
            if rule.where is not None:
                parse(rule_id, rule.where)
    return Candidate(tables, found, served)
