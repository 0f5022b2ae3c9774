"""The committed sample is what its README says, and what its script makes."""

from __future__ import annotations

import gzip
import os
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from places import ROOT

from stream.errors import InputFileError
from stream.files import sample
from stream.files.reading import FileRecord, read_events, read_items
from stream.files.sample.make import main, make, readable
from stream.wire.decode import DecodeLimits

LIMITS = DecodeLimits(message_max_bytes=1_000_000, earliest_ms=631_152_000_000, max_ahead_ms=86_400_000)
NOW_MS = 1_700_000_000_000
FULL = ROOT.parent / "shared/data/online-retail/online_retail.csv.zst"


@pytest.fixture(scope="module")
def events() -> list[FileRecord]:
    rows = list(read_events(sample.EVENTS, sample.MAPPING, limits=LIMITS, now_ms=NOW_MS, timezone=sample.TIMEZONE))
    assert [row for row in rows if not isinstance(row, FileRecord)] == []
    return [row for row in rows if isinstance(row, FileRecord)]


@pytest.fixture(scope="module")
def items() -> list[FileRecord]:
    rows = list(read_items(sample.ITEMS, sample.ITEM_MAPPING, limits=LIMITS, now_ms=NOW_MS))
    assert [row for row in rows if not isinstance(row, FileRecord)] == []
    return [row for row in rows if isinstance(row, FileRecord)]


def test_every_row_is_accepted_and_the_counts_are_as_told(events: list[FileRecord], items: list[FileRecord]) -> None:
    assert len(events) == sample.EVENT_COUNT
    assert len({event.key for event in events}) == sample.USER_COUNT
    assert len(items) == len({item.key for item in items}) == sample.ITEM_COUNT


def test_the_readme_tells_the_same_counts_and_names_source_and_licence() -> None:
    text = (sample.EVENTS.parent / "README.md").read_text()

    for told in (f"{sample.EVENT_COUNT:,} purchases by {sample.USER_COUNT} customers", f"{sample.ITEM_COUNT:,} items"):
        assert told in text
    for told in (
        "10.24432/C5BW33",
        "Daqing Chen",
        "UCI Machine Learning Repository",
        "creativecommons.org/licenses/by/4.0",
    ):
        assert told in text


def test_events_are_in_order_of_time_over_a_whole_year(events: list[FileRecord]) -> None:
    times = [event.time_ms for event in events]

    assert times == sorted(times)
    assert times[-1] - times[0] > 365 * 86_400_000


def test_every_event_is_a_purchase_of_an_item_in_the_catalogue(
    events: list[FileRecord], items: list[FileRecord]
) -> None:
    known = {item.key.decode() for item in items}
    bought = [msgspec.json.decode(event.value) for event in events]

    assert {event["action"] for event in bought} == {"purchase"}
    assert {event["item_id"] for event in bought} == known
    assert min(event["value"] for event in bought) > 0


def test_the_lines_of_one_minute_do_not_ascend_by_stock_code(events: list[FileRecord]) -> None:
    pairs = [
        (msgspec.json.decode(one.value)["item_id"], msgspec.json.decode(other.value)["item_id"])
        for one, other in pairwise(events)
        if one.time_ms == other.time_ms
    ]

    ascending = sum(one < other for one, other in pairs) / len(pairs)
    assert 0.49 < ascending < 0.51, "in the source it is 0.63, and a recommender could learn the order"


def test_the_sample_is_small() -> None:
    assert sum(path.stat().st_size for path in (sample.EVENTS, sample.ITEMS)) <= 1 << 20


def test_the_script_makes_the_committed_files(tmp_path: Path) -> None:
    if not FULL.is_file():
        pytest.skip(f"the full data is not at {os.path.relpath(FULL, ROOT)}")

    counts = make(FULL, tmp_path)

    assert counts == (sample.EVENT_COUNT, sample.ITEM_COUNT, sample.USER_COUNT)
    for path in (sample.EVENTS, sample.ITEMS):
        # Unpacked: another zlib may pack the same bytes otherwise.
        assert gzip.decompress((tmp_path / path.name).read_bytes()) == gzip.decompress(path.read_bytes())


FULL_HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"


def test_cancelled_unknown_and_service_lines_are_left_out(tmp_path: Path) -> None:
    full = tmp_path / "full.csv"
    full.write_text(
        FULL_HEADER
        + "1,10001,RED MUG,2,2010-12-01 08:26:00,1.00,7.0,UK\n"
        + "1,10001,MUG?,1,2010-12-01 08:26:00,3.00,,UK\n"
        + "C2,10001,RED MUG,-2,2010-12-02 08:26:00,1.00,7.0,UK\n"
        + "3,10001,RED MUG,-1,2010-12-02 08:26:00,0.00,7.0,UK\n"
        + "3,POST,POSTAGE,1,2010-12-02 08:26:00,18.00,7.0,UK\n"
    )

    counts = make(full, tmp_path)

    assert counts == (1, 1, 1)
    assert gzip.decompress((tmp_path / "events.csv.gz").read_bytes()).decode() == (
        "CustomerID,StockCode,Quantity,InvoiceDate\n7,10001,2,2010-12-01 08:26\n"
    )
    assert gzip.decompress((tmp_path / "items.csv.gz").read_bytes()).decode() == (
        "StockCode,Description,UnitPrice\n10001,Red Mug,1.00\n"
    )


@pytest.mark.parametrize(
    ("description", "title"),
    [
        ("WHITE HANGING HEART T-LIGHT HOLDER", "White Hanging Heart T-Light Holder"),
        ("CHILDREN'S SET OF 3  TINS ", "Children's Set of 3 Tins"),
        ("THE KING GIFT BAG 25x24x12cm", "The King Gift Bag 25x24x12cm"),
        ("WALL ART 60CM IN THE UK", "Wall Art 60cm in the UK"),
        ("3D DOG PICTURE PLAYING CARDS", "3D Dog Picture Playing Cards"),
    ],
)
def test_titles_are_in_the_capitals_of_a_person(description: str, title: str) -> None:
    assert readable(description) == title


def test_the_script_refuses_wrong_arguments_and_wrong_files_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")

    assert main([]) == 2
    assert "FULL_FILE OUT_DIR" in capsys.readouterr().err
    assert main([str(other), str(tmp_path)]) == 2
    assert "no column 'InvoiceNo'" in capsys.readouterr().err
    with pytest.raises(InputFileError):
        make(tmp_path / "missing.csv", tmp_path)
