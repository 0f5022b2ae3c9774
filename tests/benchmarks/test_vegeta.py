"""What is made of vegeta's results: latency from when a request was due, whatever the generator or the server did."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import vegeta
from benchmarks.vegeta import Target, attack, find, read

BEGAN_NS = 1_780_000_000_000_000_000


def line(sequence: int, at_ms: float, latency_ms: float, status: int = 200, error: str = "") -> str:
    """As `vegeta encode -to csv` writes it."""
    at_ns = BEGAN_NS + int(at_ms * 1e6)
    return f"{at_ns},{status},{int(latency_ms * 1e6)},0,0,{error},,,{sequence},GET,http://h/,"


def test_a_request_that_was_sent_late_is_as_late_as_it_was_due() -> None:
    answers = read("\n".join([line(0, 0, 5), line(1, 10, 5), line(2, 50, 5), line(3, 51, 5)]), rate=100)

    assert answers.latency_ms.tolist() == pytest.approx([5, 5, 35, 26])
    assert answers.refused == 0


def test_results_come_in_any_order_and_the_schedule_begins_with_the_first_that_was_in_time() -> None:
    answers = read("\n".join([line(2, 20, 1), line(0, 3, 1), line(1, 10, 1)]), rate=100)
    assert answers.latency_ms.tolist() == pytest.approx([4, 1, 1])


def test_what_was_refused_or_had_no_answer_is_infinitely_late() -> None:
    rows = [line(0, 0, 1), line(1, 10, 1, 429), line(2, 20, 1, 0, "no such host"), line(3, 30, 1, 201)]
    answers = read("\n".join(rows), rate=100)

    assert answers.latency_ms.tolist() == pytest.approx([1, float("inf"), float("inf"), 1])
    assert answers.refused == 0.5
    assert answers.errors == ("no such host",)


def test_nothing_is_no_result() -> None:
    with pytest.raises(ValueError, match="nothing was asked"):
        read("", rate=1)


def test_without_vegeta_and_without_go_one_line_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(vegeta, "FOLDER", tmp_path)
    with pytest.raises(RuntimeError, match=r"there is no vegeta and no Go\. Fix: "):
        find()


def test_a_target_with_a_body_is_json(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (program := tmp_path / "vegeta").write_text(
        f'#!/bin/sh\nif [ "$1" = encode ]; then echo "{line(0, 0, 1)}"; fi\n', encoding="utf-8"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    attack([Target("POST", "http://h/v1", b'{"n":1}')], 10, 0.1, tmp_path, "one")

    assert (tmp_path / "one.targets").read_text(encoding="utf-8") == (
        '{"method": "POST", "url": "http://h/v1", "body": "eyJuIjoxfQ==", "header": {"Content-Type": ["application/json"]}}\n'
    )
