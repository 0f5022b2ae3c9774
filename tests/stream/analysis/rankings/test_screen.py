"""What stands in a terminal of 80 columns after `penchant evaluate rankings`."""

from __future__ import annotations

import io

import pytest
from evaluation_reports import report_of
from rich.console import Console

from models.evaluation.verdict import JUDGED
from stream.analysis.rankings.contenders import names
from stream.analysis.rankings.screen import show_report


def shown(report, width, terminal=True):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=width, color_system=None, highlight=False)
    show_report(console, report)
    return console.file.getvalue().splitlines()


def test_in_80_columns_every_name_and_figure_stays_whole():
    report = report_of(["penchant", "recency_popularity", "co_occurrence_tuned"])

    lines = shown(report, 80)

    assert max(map(len, lines)) <= 80
    models, slices = (
        lines.index(next(line for line in lines if line.startswith(title))) for title in ("All", "Slices")
    )
    verdict, after = lines[:models], {word for line in lines[slices:] for word in line.split()}
    assert {"newcomers", "warm-up", "returning", "unseen", "unknown", "(53,246)", "recency_popularity"} <= after
    assert sum("  co_occurrence_tuned  +.0219 " in line for line in verdict) == len(JUDGED)
    assert sum(".1897                [-.1234, +.1234]" in line for line in verdict) == len(JUDGED)
    assert [line for line in verdict if line.startswith("within session") and line.rstrip().endswith("too few")]


def test_in_a_wide_terminal_a_row_of_the_verdict_is_one_line():
    lines = shown(report_of(["penchant", "co_occurrence_tuned"]), 120)

    (row,) = (line for line in lines if line.startswith("newcomers"))
    assert row.split() == [
        "newcomers",
        "53,246",
        ".2116",
        "co_occurrence_tuned",
        ".1897",
        "+.0219",
        "[-.1234,",
        "+.1234]",
        "ahead",
    ]


def test_elsewhere_a_row_of_the_verdict_is_a_line_of_cells_between_tabs():
    lines = shown(report_of(["penchant", "co_occurrence_tuned"]), 80, terminal=False)

    assert "newcomers\t53,246\t.2116\tco_occurrence_tuned .1897\t+.0219 [-.1234, +.1234]\tahead" in lines
    assert "" not in lines


@pytest.mark.parametrize("width", [80, 120])
def test_every_model_at_once_has_a_row(width):
    report = report_of(list(names()))

    lines = shown(report, width)

    assert max(map(len, lines)) <= width
    for name in names():
        assert sum(line.startswith(f"{name} ") for line in lines) >= 3
