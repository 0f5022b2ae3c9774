"""The report of `penchant evaluate reasons` as one HTML file that needs nothing else, and as lines for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any, Final

from models.evaluation.faithfulness import LOWER_IS_BETTER, MEASURES
from stream.analysis.rankings.page import document, picture_tag, table
from stream.analysis.reasons.stability import PERTURBATIONS

TITLE: Final = "How faithful Penchant's reasons are"

_DROPPED: Final = dict(zip(PERTURBATIONS, ("the item that says least", "an item that chance names"), strict=True))


def page(report: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """HTML. Whatever comes from files or the command line is escaped.

    Args:
        report: as written to JSON.
        pictures: PNG files by title.
    """
    found = report["counterfactual"]
    facts = [
        (
            f"{report['questions']:,} questions of {report['asked']:,} by {report['users']:,} users, "
            f"{report['history_mean']:.1f} items of history on average"
        ),
        f"ranking weights {report['weights']}, encoder {report['encoder']}, sequence {report['sequence_model'] or 'none'}",
        f"completeness gap at most {report['completeness_gap_max']:.1e}",
        f"counterfactuals found for {found['success']:.1%}, {_number(found['size_mean'], 2)} items on average",
        *stability_lines(report["stability"]),
    ]
    parts = [
        f"<h1>{escape(TITLE)}</h1><p><code>{escape(report['command'])}</code></p>",
        f"<ul>{''.join(f'<li>{escape(each)}</li>' for each in facts)}</ul>",
        *(f"<p>sha256 of {escape(n)}: <code>{escape(each)}</code></p>" for n, each in report["data"]["sha256"].items()),
        "<h2>Explainers</h2>",
        _explainers(report),
        "<h2>How much better ours are, 95 % intervals</h2>",
        _better(report),
        *_sequence(report["sequence"]),
        *_audits(report["audits"]),
        *(picture_tag(title, png) for title, png in pictures.items()),
    ]
    return document(TITLE, parts)


def stability_lines(stability: Mapping[str, Any]) -> list[str]:
    """A line per perturbation."""
    lines = []
    for name, dropped in _DROPPED.items():
        found = stability[name]
        if found["rank_correlation"] is not None:
            lines.append(
                f"Without {dropped}: rank correlation {found['rank_correlation']:.3f} of the contributions that stay "
                f"(5th percentile {found['rank_correlation_p05']:.3f}), {found['same_first_3']:.1%} of the first 3 the same."
            )
    return lines


def audit_lines(audits: Mapping[str, Any]) -> list[str]:
    """A line per method and explainer."""
    lines = []
    for method, found in audits.items():
        error = f", standard error {found['standard_error']:.3f}" if found["samples"] else ""
        for name, each in found["against"].items():
            lines.append(
                f"{method.replace('_', ' ').capitalize()} against {name}: rank correlation "
                f"{_number(each['rank_correlation'])}, mean absolute difference "
                f"{each['mean_absolute_difference']:.2g}{error}."
            )
    return lines


def _explainers(report: Mapping[str, Any]) -> str:
    headings = [f"{name} {'↓' if name in LOWER_IS_BETTER else '↑'}" for name in MEASURES]
    rows = (
        [
            name,
            *(_number(each[measure]) for measure in MEASURES),
            f"{each['replaces_leader_within_10']:.1%}",
            _number(each["replaces_leader_after"], 2),
        ]
        for name, each in report["explainers"].items()
    )
    return table(("explainer", *headings, "replaces leader within 10 ↑", "after ↓"), rows)


def _better(report: Mapping[str, Any]) -> str:
    rows = (
        [name, *(f"[{each[measure][0]:+.3f}, {each[measure][1]:+.3f}]" for measure in MEASURES)]
        for name, each in report["better_than"].items()
    )
    return table(("than", *MEASURES), rows)


def _sequence(found: Mapping[str, Any] | None) -> list[str]:
    if found is None:
        return []
    names = ("questions", "expectation_mean", "expectation_of_nothing_mean", "change_mean", "residual_mean")
    row = [str(found["questions"]), *(_number(found[name]) for name in names[1:])]
    return [
        "<h2>Sequence model: leave-one-out, which does not add up</h2>",
        (
            "<p>Differences of log-probabilities. The residual is what is left of the change from an empty history to the "
            "whole one, without the differences that single events make.</p>"
        ),
        table(names, [row]),
    ]


def _audits(audits: Mapping[str, Any]) -> list[str]:
    if not audits:
        return []
    return ["<h2>Audits</h2>", f"<ul>{''.join(f'<li>{escape(each)}</li>' for each in audit_lines(audits))}</ul>"]


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
