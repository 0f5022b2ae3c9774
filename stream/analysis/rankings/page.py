"""The report of an evaluation as one HTML file that needs nothing else: tables, and pictures inside it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import zip_longest
from typing import Any, Final

from models.evaluation.slices import MONTH
from models.evaluation.verdict import JUDGED, METRIC, MODEL

_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 70rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto }
th, td { padding: .2rem .6rem; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap }
th:first-child, td:first-child { text-align: left }
img { max-width: 100% } code { overflow-wrap: anywhere } .skipped { color: #960 }
tr.ahead td:last-child { color: #060 } tr.behind td:last-child { color: #a00; font-weight: bold } tr.few { color: #777 }
"""
_COLUMNS: Final = ("ndcg@10", "ndcg@20", "hr@10", "hr@20", "mrr", "auc", "precision@10", "recall@10", "f1@10",
                   "seconds")  # fmt: skip
_REACH: Final = ("ndcg@10", "coverage@10", "weekly_coverage@10", "gini@10", "novelty@10", "diversity@10")


def page(report: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """HTML. Whatever comes from files or the command line is escaped.

    Args:
        report: as written to JSON.
        pictures: PNG files by title.
    """
    data = report["data"]
    facts = ", ".join(f"{escape(name)} {value:,}" for name, value in data.items() if isinstance(value, int))
    parts = [
        "<h1>Penchant evaluation</h1>",
        _verdict(report["verdict"]),
        f"<h2>What was asked</h2><p><code>{escape(report['command'])}</code></p><p>{facts}</p>",
        *(f"<p>sha256 of {escape(role)}: <code>{escape(each)}</code></p>" for role, each in data["sha256"].items()),
        "<h2>All questions</h2>",
        _models(report, _COLUMNS),
        "<h2>Reach and lists of ten</h2>",
        _reach(report),
        "<h2>Minus tuned co-occurrence, with 95 % intervals</h2>",
        _differences(report),
        "<h2>Slices: NDCG@10</h2>",
        _slices(report),
        *(picture_tag(title, picture) for title, picture in pictures.items()),
        *(f'<p class="skipped">skipped {escape(n)}: {escape(why)}</p>' for n, why in report["skipped"].items()),
    ]
    return document("Penchant evaluation", parts)


def document(title: str, parts: Iterable[str]) -> str:
    """A page that needs nothing else; `parts` are HTML."""
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def _verdict(verdict: Mapping[str, Any] | None) -> str:
    """Nothing where Penchant did not take part."""
    if verdict is None:
        return ""
    said = f"<p><strong>{escape(verdict['sentence'])}</strong></p>"
    if not verdict["rows"]:
        return said
    rows = [
        [
            JUDGED[row["slice"]],
            f"{row['questions']:,}",
            number(row["value"]),
            row["best"] or "–",
            number(row["best_value"]),
            _difference(row["difference"]),
            row["mark"],
        ]
        for row in verdict["rows"]
    ]
    headings = ("NDCG@10", "questions", verdict["model"], "best baseline", "", "difference, 95 % interval", "")
    return said + table(headings, rows, [row["mark"] for row in verdict["rows"]])


def _models(report: Mapping[str, Any], metrics: Sequence[str]) -> str:
    rows = ([name, *(number(each.get(metric)) for metric in metrics)] for name, each in report["models"].items())
    return table(("model", *metrics), rows)


def _reach(report: Mapping[str, Any]) -> str:
    rows = (
        [
            name,
            *(number(each[metric]) for metric in _REACH),
            _difference(report["minus_penchant"].get(name, {}).get(METRIC)),
        ]
        for name, each in report["models"].items()
    )
    return table(("model", *_REACH, f"{METRIC} minus {MODEL}"), rows)


def _differences(report: Mapping[str, Any]) -> str:
    metrics = ("ndcg@10", "hr@10", "mrr")
    rows = [
        [part, name, *(_difference(each.get(metric)) for metric in metrics)]
        for part, models in report["differences"].items()
        if not part.startswith(MONTH) and report["questions"][part]
        for name, each in models.items()
    ]
    return table(("questions", "model", *metrics), rows)


def _slices(report: Mapping[str, Any]) -> str:
    rows = (
        [f"{part} ({report['questions'][part]:,})", *(number(each["ndcg@10"]) for each in models.values())]
        for part, models in report["slices"].items()
    )
    return table(("slice", *report["models"]), rows)


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], classes: Iterable[str] = ()) -> str:
    """HTML; cells are escaped. `classes` are those of the rows, if they have any."""
    head = "".join(f"<th>{escape(each)}</th>" for each in headings)
    body = "".join(_table_row(row, each) for row, each in zip_longest(rows, classes))
    return f"<table><tr>{head}</tr>{body}</table>"


def _table_row(cells: Sequence[str], class_: str | None) -> str:
    start = f'<tr class="{escape(class_)}">' if class_ else "<tr>"
    return f"{start}{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"


def picture_tag(title: str, picture: bytes) -> str:
    """A heading and the PNG file inside the page."""
    encoded = b64encode(picture).decode()
    return f'<h2>{escape(title)}</h2><img alt="{escape(title)}" src="data:image/png;base64,{encoded}">'


def _difference(found: Mapping[str, Any] | None) -> str:
    if found is None or found["mean"] is None:
        return "–"
    low, high = found["interval"]
    return f"{found['mean']:+.4f} [{low:+.4f}, {high:+.4f}]"


def number(value: float | None) -> str:
    """Four digits, or a dash."""
    return "–" if value is None else f"{value:.4f}"
