"""The report on fairness as one HTML file that needs nothing else: tables, and pictures inside it."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from stream.analysis.fairness.screen import (
    EXPOSURE_HEADINGS,
    SERVICE_HEADINGS,
    WEEK_HEADINGS,
    between,
    by_week,
    exposure,
    number,
    percent,
    service,
)
from stream.analysis.rankings.page import document, picture_tag, table


def page(report: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """HTML. Whatever comes from records or the command line is escaped.

    Args:
        report: as written to JSON.
        pictures: PNG files by title.
    """
    items = report["items"]
    parts = [
        f"<h1>Who is shown, and who is served</h1><p><code>{escape(report['command'])}</code></p>",
        (
            f"<p>{escape(report['from'])} to {escape(report['to'])}, placement {escape(report['placement'])}: "
            f"{report['lists']:,} lists of {report['people']:,} people, {report['choices']:,} choices.</p>"
        ),
        (
            f"<p>Of {items['could_be_listed']:,} items that could be listed {percent(items['coverage'])} have a place; "
            f"Gini of exposure {number(items['gini'])}.</p>"
        ),
    ]
    for name, each in report["exposure"].items():
        parts.append(f"<h2>Exposure by {escape(name)}</h2><p>Unfairness {between(each['unfairness'])}.</p>")
        parts.append(table(EXPOSURE_HEADINGS, [row for row, _ in exposure(each)]))
    for name, groups in report["service"].items():
        parts.append(f"<h2>Lists by {escape(name)} of people, 95 %</h2>")
        parts.append(table((name, *SERVICE_HEADINGS[1:]), service(groups)))
    parts += ["<h2>By week</h2>", table(WEEK_HEADINGS, by_week(report))]
    parts += [picture_tag(title, picture) for title, picture in pictures.items()]
    return document("Who is shown, and who is served", parts)
