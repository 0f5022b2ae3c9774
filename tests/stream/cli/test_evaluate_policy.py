"""`penchant evaluate policy`: from files as they are written by workers, and one line for what cannot be judged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from models.credit.exploration_rate import EFFECTIVE_MIN
from stream.cli.main import app
from stream.wire.records import EventSource, ModelVersions, Recommendation, RecommendedItem, encode

LOGGED, KEPT_RATE, DRAWN_RATE, ELSEWHERE = 0.5, 0.4, 0.1, 0.3
PLACEMENT = "[placements.home]\nexplore = {{ slots = 1, from_place = 2, rate = {rate} }}\n"


@pytest.fixture(autouse=True)
def _here(clean_place: None) -> None:
    Path("penchant.toml").write_text(PLACEMENT.format(rate=LOGGED))
    Path("candidate.toml").write_text(PLACEMENT.format(rate=0.2))


def a_list(name: str, user: str, drawn: bool, rate: float = LOGGED) -> Recommendation:
    """Three places, the second of which explores."""
    second = RecommendedItem(
        "new" if drawn else "old", 2, 1.0, 0.1, "explore" if drawn else "interest",
        float(np.float32(rate * 0.3 if drawn else 1.0 - rate)), {"interest": 1.0},
    )  # fmt: skip
    items = (RecommendedItem("a", 1, 1.0, 0.1, "interest", 1.0, {"interest": 1.0}), second)
    source, model = EventSource("interest.events", 0, 1), ModelVersions(None, None, "linear-1")
    return Recommendation(name, user, 1, 1, source, "event", model, items, placement="home")


def write_log(people: int = 300, lists: int = 4, rate: float = LOGGED, seed: int = 0, seen: bool = True) -> None:
    rng = np.random.default_rng(seed)
    records, events = [], []
    for user in range(people):
        for n in range(lists):
            drawn = bool(rng.random() < rate)
            name, who = f"{user * lists + n:032x}", f"u{user}"
            records.append(encode(a_list(name, who, drawn, rate)).decode())
            chances = {"a": ELSEWHERE, "new" if drawn else "old": DRAWN_RATE if drawn else KEPT_RATE}
            for item, chance in chances.items():
                did = {"user_id": who, "item_id": item, "recommendation_id": name, "event_time": 1_700_000_000_000 + n}
                if seen:
                    events.append(did | {"action": "impression"})
                if rng.random() < chance:
                    events.append(did | {"action": "click"})
    Path("lists.jsonl").write_text("\n".join(records) + "\n")
    Path("events.jsonl").write_text("\n".join(map(json.dumps, events)) + "\n")


def command(*arguments: str) -> Any:
    result = CliRunner().invoke(
        app, ["evaluate", "policy", "lists.jsonl", "events.jsonl", "--candidate", "candidate.toml", *arguments]
    )
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def report_of(*arguments: str) -> Any:
    result = command(*arguments, "--json", "report.json")
    assert result.exit_code == 0, result.output
    return json.loads(Path("report.json").read_text())


def refusal(*arguments: str) -> str:
    result = command(*arguments)
    assert result.exit_code == 2, result.output
    line = " ".join(result.output.split())
    assert "Traceback" not in line
    return line


@pytest.mark.parametrize("rate", [0.2, 1.0])
def test_estimates_hold_what_the_candidate_would_earn(rate: float) -> None:
    write_log()
    Path("candidate.toml").write_text(PLACEMENT.format(rate=rate))

    report = report_of()

    truth = rate * DRAWN_RATE + (1 - rate) * KEPT_RATE
    logged = LOGGED * DRAWN_RATE + (1 - LOGGED) * KEPT_RATE
    assert (report["logged_rate"], report["candidate_rate"]) == (LOGGED, rate)
    assert report["counts"]["places_seen"] == report["units"]["place"]["units"] == 1200
    for name, beside in (("place", 0.0), ("list", ELSEWHERE)):
        unit = report["units"][name]
        for kind in ("ips", "snips", "doubly_robust"):
            told = unit["estimates"][kind]
            assert told["low"] < truth + beside < told["high"], (name, kind)
            assert told["high"] - told["low"] < 0.2
        difference = unit["estimates"]["difference"]
        assert difference["low"] < truth - logged < difference["high"]
        assert (difference["low"] > 0) == (truth > logged)
        assert (difference["high"] < 0) == (truth < logged)


def test_no_places_that_explore_are_a_rate_of_zero() -> None:
    write_log()
    Path("candidate.toml").write_text("[placements.home]\n")

    told = report_of()["units"]["place"]["estimates"]["snips"]

    assert told["low"] < KEPT_RATE < told["high"]


def test_what_nobody_saw_does_not_count_and_neither_does_what_is_done_without_an_impression() -> None:
    write_log(people=200)
    events = [json.loads(line) for line in Path("events.jsonl").read_text().splitlines()]
    unseen = {e["recommendation_id"] for e in events if e["user_id"] in {"u0", "u1"}}
    kept = [e for e in events if e["action"] == "click" or e["recommendation_id"] not in unseen]
    stranger = kept[-1] | {"user_id": "somebody", "action": "impression"}
    Path("events.jsonl").write_text("\n".join(map(json.dumps, [*kept, stranger])) + "\n")

    counts = report_of()["counts"]

    assert counts["lists_seen"] == 800 - len(unseen)
    assert counts["people"] == 198
    assert counts["without_impression"] == sum(e["recommendation_id"] in unseen for e in kept)
    assert counts["events_of_unknown_lists"] == 1


def test_too_few_people_are_not_spoken_of() -> None:
    write_log(people=20, lists=40)

    unit = report_of()["units"]["place"]

    assert unit["estimates"] is None
    assert unit["effective"] < EFFECTIVE_MIN
    assert "nothing is said from" in command().output


def test_records_of_reasons_say_the_same(reasons_of: Any) -> None:
    write_log()
    expected = report_of()["units"]
    lines = Path("lists.jsonl").read_text().splitlines()
    Path("lists.jsonl").write_text("\n".join(reasons_of(json.loads(line)) for line in lines) + "\n")

    found = report_of()["units"]

    assert found["place"]["estimates"]["snips"]["value"] == pytest.approx(
        expected["place"]["estimates"]["snips"]["value"], abs=1e-6
    )


@pytest.fixture
def reasons_of() -> Any:
    golden = json.loads((Path(__file__).parents[2] / "golden" / "attribution-reasons-v2.json").read_text())

    def made(record: dict[str, Any]) -> str:
        place = golden["places"][0]
        places = [
            place
            | {"item_id": item["item_id"], "strategy": item["strategy"], "propensity": round(item["propensity"], 6)}
            for item in record["items"]
        ]
        head = {"recommendation_id": record["recommendation_id"], "user_id": record["user_id"], "places": places}
        return json.dumps(golden | head)

    return made


def test_odd_lines_are_counted_and_passed_over() -> None:
    write_log()
    lines = Path("lists.jsonl").read_text().splitlines()
    Path("lists.jsonl").write_text("\n".join([*lines, lines[0], "{not json", '{"items": 3}', '["x"]']) + "\n")
    with Path("events.jsonl").open("a") as file:
        file.write('{"user_id": "u", "action": "dance"}\n')

    counts = report_of()["counts"]

    assert (counts["lists_repeated"], counts["lines_refused"], counts["events_refused"]) == (1, 3, 1)


def test_another_temperature_cannot_be_judged() -> None:
    write_log()
    Path("candidate.toml").write_text("[placements.home.explore]\nslots = 1\nfrom_place = 2\ntemperature = 0.5\n")

    assert "changes `explore.temperature` (1.0 -> 0.5); logged lists tell of `explore.rate` only" in refusal()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[placements.home]\nexplore = { rate = 3 }\n", "`placements.home.explore.rate` in candidate.toml"),
        ("[placements.home]\nexplode = 1\n", "`placements.home.explode` in candidate.toml"),
        ("[placements.cart]\n", "no table [placements.home]"),
        ("placements = 3\n", "no table [placements.home]"),
        ("[placements", "is not valid TOML"),
    ],
)
def test_a_candidate_that_is_none(content: str, says: str) -> None:
    write_log(people=2)
    Path("candidate.toml").write_text(content)

    assert says in refusal()


def test_a_log_that_cannot_tell() -> None:
    write_log(rate=1.0)
    assert "with a rate of 1 no place kept its item" in refusal()
    write_log(seen=False)
    assert "No impression names a list of the file" in refusal()
    write_log(rate=0.25)
    before = Path("lists.jsonl").read_text().replace('"recommendation_id":"0', '"recommendation_id":"f')
    write_log(rate=0.5)
    Path("lists.jsonl").write_text(before + Path("lists.jsonl").read_text())
    assert "lists were made with more than one rate, 0.25 to 0.5" in refusal()
    Path("lists.jsonl").write_text(encode(a_list("x", "u0", drawn=False, rate=0.0)).decode() + "\n")
    assert "None of the lists has a place that explores" in refusal()
    Path("lists.jsonl").write_text('{"a": 1}\n')
    assert "holds no list" in refusal()


def test_files_that_are_not_there() -> None:
    assert "lists.jsonl cannot be read" in refusal()
    write_log(people=2)
    Path("candidate.toml").unlink()
    assert "candidate.toml cannot be read" in refusal()
