"""The report of `penchant evaluate clicks` as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from models.evaluation.click_figures import MEASURES
from stream.analysis.rankings.page import document, number, picture_tag, table


def clicks_page(report: Mapping[str, Any], reliability: bytes) -> str:
    """HTML; what comes from files or the command line is escaped.

    Args:
        report: as written to JSON.
        reliability: a PNG file.
    """
    shown, clicks = report["exposures"], report["clicks"]
    headings = ("model", *(f"{name} (95 %)" for name in MEASURES), "mean stated", "ours minus it, log loss")
    minus = report["log_loss_minus"]
    facts = (
        f"<p>{shown['judged']:,} exposures of {shown['all']:,}, {clicks['judged']:,} clicked, {report['users']:,} users, "
        f"clicks within {report['window_minutes']:g} minutes; encoder {escape(report['encoder'])}, "
        f"{report['text']['both']:.1%} of the exposures with text on both sides.</p>"
    )
    parts = [
        f"<h1>Click probability</h1><p><code>{escape(report['command'])}</code></p>",
        facts,
        *(
            f"<p>sha256 of {escape(role)}: <code>{escape(each)}</code></p>"
            for role, each in report["data"]["sha256"].items()
        ),
        table(
            headings,
            (
                [name, *_figures(each["probability"]), "" if name not in minus else _difference(minus[name])]
                for name, each in report["models"].items()
            ),
        ),
        picture_tag("Stated and observed", reliability),
        "<h2>The first exposures: mean log loss</h2>",
        _first(report["first"]),
        *(f'<p class="skipped">skipped {escape(n)}: {escape(why)}</p>' for n, why in report["skipped"].items()),
    ]
    return document("Penchant: click probability", parts)


def _figures(each: Mapping[str, Any]) -> list[str]:
    found = []
    for name in MEASURES:
        low, high = each["intervals"][name]
        found.append(f"{number(each[name])} [{number(low)}, {number(high)}]")
    return [*found, number(each["mean"])]


def _difference(found: Mapping[str, Any]) -> str:
    low, high = found["interval"]
    return f"{found['mean']:+.4f} [{low:+.4f}, {high:+.4f}]"


def _first(first: Mapping[str, Mapping[str, float]]) -> str:
    if not first:
        return "<p>Too few.</p>"
    names = list(next(iter(first.values())))
    return table(("exposures", *names), ([n, *(number(each[name]) for name in names)] for n, each in first.items()))
