"""Reading event and catalogue files: formats, mapping, times, and what becomes of bad rows."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import cramjam
import msgspec
import polars as pl
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from stream.errors import InputFileError
from stream.files.cells import Times, read_time_ms
from stream.files.mapping import EVENTS_AS_NAMED, Mapping, parse_mapping
from stream.files.reading import FLOAT_ID, MENDED, BadRow, Change, FileRecord, read_events, read_items, total_bytes
from stream.wire.decode import REASONS, DecodedItem, DecodeLimits, decode_item
from stream.wire.times import parse_timezone

LIMITS = DecodeLimits(message_max_bytes=1000, earliest_ms=0, max_ahead_ms=0)
NOW_MS = 1_700_000_000_000
TIME_MS = 1_291_191_960_000
"""2010-12-01 08:26:00 UTC"""
SHOP = "user_id=CustomerID,item_id=StockCode,action=:purchase,event_time=InvoiceDate"
SHOP_CSV = b"CustomerID,StockCode,InvoiceDate\n17850.0,85123A,2010-12-01 08:26:00\n17850.0,71053,2010-12-01 08:26:00\n"


def events(path: Path, mapping: str = "", **options: object) -> list[FileRecord | BadRow]:
    return list(read_events(path, parse_mapping(mapping), limits=LIMITS, now_ms=NOW_MS, **options))  # type: ignore[arg-type]


def write(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def values(rows: list[FileRecord | BadRow]) -> list[dict[str, object]]:
    assert all(isinstance(row, FileRecord) for row in rows), rows
    return [msgspec.json.decode(row.value) for row in rows if isinstance(row, FileRecord)]


# --- formats


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", SHOP_CSV),
        ("a.csv", b"\xef\xbb\xbf" + SHOP_CSV.replace(b"\n", b"\r\n")),
        ("a.tsv", SHOP_CSV.replace(b",", b"\t")),
        ("a.csv.gz", gzip.compress(SHOP_CSV)),
        ("a.csv.bz2", bz2.compress(SHOP_CSV)),
        ("a.csv.xz", lzma.compress(SHOP_CSV)),
        ("a.csv.zst", bytes(cramjam.zstd.compress(SHOP_CSV))),
        ("A.CSV.GZ", gzip.compress(SHOP_CSV)),
    ],
)
def test_every_text_format_and_compression_gives_the_same_records(tmp_path: Path, name: str, content: bytes) -> None:
    rows = events(write(tmp_path, name, content), SHOP)

    assert values(rows) == [
        {"user_id": "17850.0", "action": "purchase", "item_id": "85123A", "event_time": TIME_MS},
        {"user_id": "17850.0", "action": "purchase", "item_id": "71053", "event_time": TIME_MS},
    ]
    assert [(r.line, r.key, r.time_ms) for r in rows] == [(2, b"17850.0", TIME_MS), (3, b"17850.0", TIME_MS)]  # type: ignore[union-attr]


def test_parquet_gives_the_same_records_as_the_csv_of_the_same_table(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "u": [17850.0, 1.0],
            "i": ["85123A", "b"],
            "t": [datetime(2010, 12, 1, 8, 26), datetime(2011, 1, 1)],  # noqa: DTZ001  (local, as in the files)
            "v": [6, None],
        }
    )
    frame.write_parquet(tmp_path / "a.parquet")
    frame.write_csv(tmp_path / "a.csv", float_precision=1)
    mapping = "user_id=u:int,item_id=i,action=:view,event_time=t,dwell_ms=v"

    assert values(events(tmp_path / "a.csv", mapping)) == values(events(tmp_path / "a.parquet", mapping))
    assert [row.line for row in events(tmp_path / "a.parquet", mapping)] == [1, 2]


def test_a_parquet_file_longer_than_one_slice_is_read_whole_and_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.files.formats._PARQUET_SLICE_ROWS", 3)
    pl.DataFrame({"user_id": [str(n) for n in range(10)]}).write_parquet(tmp_path / "a.pq")

    rows = events(tmp_path / "a.pq", "user_id=user_id,action=:query")

    assert [str(n).encode() for n in range(10)] == [row.key for row in rows if isinstance(row, FileRecord)]


def test_json_lines_as_on_the_wire_need_no_mapping_and_lose_only_unknown_fields(tmp_path: Path) -> None:
    line = (
        '{"user_id":"u","action":"view","item_id":"i","context":{"device":"tv"},"event_time":"2010-12-01T08:26Z","x":1}'
    )

    rows = events(write(tmp_path, "a.jsonl", f"\n{line}\n"))

    assert values(rows) == [
        {"user_id": "u", "action": "view", "item_id": "i", "event_time": TIME_MS, "context": {"device": "tv"}}
    ]
    assert rows[0].line == 2


def test_json_lines_are_mapped_by_key_and_by_path(tmp_path: Path) -> None:
    path = write(tmp_path, "a.ndjson", '{"who":{"id":7},"a.b":"i"}\n')

    rows = events(path, "user_id=who.id,item_id=a.b,action=:like")

    assert values(rows) == [{"user_id": "7", "action": "like", "item_id": "i"}]
    assert rows[0].time_ms == NOW_MS  # type: ignore[union-attr]


def test_the_given_format_speaks_instead_of_the_extension(tmp_path: Path) -> None:
    assert len(events(write(tmp_path, "data", SHOP_CSV), SHOP, format="csv")) == 2
    assert len(events(write(tmp_path, "data.txt.gz", gzip.compress(SHOP_CSV)), SHOP, format="csv")) == 2
    assert len(events(write(tmp_path, "data.bin", gzip.compress(SHOP_CSV)), SHOP, format="csv.gz")) == 2


def test_a_quoted_line_break_does_not_shift_the_line_numbers(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", 'user_id,action,item_id,text\nu,view,i,"two\nlines"\n\nu,view,j,x\n')

    assert [row.line for row in events(path)] == [2, 5]


def test_reading_holds_no_more_than_a_row_at_a_time(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "user_id,action\n" + "u,query\n" * 100_000)

    rows = read_events(path, EVENTS_AS_NAMED, limits=LIMITS, now_ms=NOW_MS)
    first = next(rows)

    assert first.bytes_read < total_bytes(path) / 10
    assert sum(1 for _ in rows) == 99_999


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.csv.zst", "a.jsonl", "a.parquet"])
def test_bytes_read_never_falls_and_stays_within_the_file(tmp_path: Path, name: str) -> None:
    frame = pl.DataFrame({"user_id": [f"user {n * n}" for n in range(3000)], "action": "query"})
    text = frame.write_csv().encode()
    if name.endswith("parquet"):
        frame.write_parquet(tmp_path / name)
    elif name.endswith("jsonl"):
        frame.write_ndjson(tmp_path / name)
    else:
        pack = {"csv": bytes, "gz": gzip.compress, "zst": lambda data: bytes(cramjam.zstd.compress(data))}
        write(tmp_path, name, pack[name.rsplit(".", 1)[1]](text))

    seen = [row.bytes_read for row in events(tmp_path / name)]

    assert sorted(seen) == seen
    assert 0 <= seen[0] <= seen[-1] <= total_bytes(tmp_path / name)


def test_a_file_that_breaks_off_gives_its_rows_before_it_raises(tmp_path: Path) -> None:
    lines = b"user_id,action\n" + b"".join(b"%d,query\n" % (n * n) for n in range(20_000))
    path = write(tmp_path, "a.csv.gz", gzip.compress(lines)[:-1000])
    rows = read_events(path, EVENTS_AS_NAMED, limits=LIMITS, now_ms=NOW_MS)

    assert [row.line for row in islice(rows, 10_000)] == list(range(2, 10_002))
    with pytest.raises(InputFileError, match="cannot be read"):
        list(rows)


# --- laws

_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
_EVENT = st.fixed_dictionaries(
    {
        "user_id": _TEXT,
        "action": st.sampled_from(["view", "cart"]),
        "item_id": _TEXT,
        "event_time": st.integers(1000, NOW_MS),
    },
    optional={
        "dwell_ms": st.integers(0, 10**9),
        "text": _TEXT,
        "value": st.floats(-1e12, 1e12),
    },
)
_COLUMNS = ("user_id", "action", "item_id", "event_time", "dwell_ms", "value", "text")


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(_EVENT, min_size=1, max_size=5))
def test_events_come_back_from_csv_and_json_lines_as_they_were_written(
    tmp_path: Path, written: list[dict[str, object]]
) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, _COLUMNS, quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(written)
    as_csv = write(tmp_path, "a.csv", text.getvalue())
    as_json = write(tmp_path, "a.jsonl", b"\n".join(msgspec.json.encode(event) for event in written))

    assert written == values(events(as_csv, time_unit="ms"))
    assert written == values(events(as_json, time_unit="ms"))


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.binary(min_size=1, max_size=300),
    st.sampled_from(["csv", "tsv", "jsonl", "parquet", "csv.gz", "csv.zst", "csv.xz"]),
)
def test_any_bytes_at_all_give_rows_or_one_line_of_error(tmp_path: Path, content: bytes, extensions: str) -> None:
    path = write(tmp_path, "a", content)
    try:
        rows = events(path, "user_id=a,action=:query", format=extensions)
    except InputFileError as error:
        assert str(path) in str(error)  # noqa: PT017  (either outcome is right)
    else:
        assert all(isinstance(row, FileRecord) or row.reason in REASONS for row in rows)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_below_a_header_only_refuse_rows(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path, "a.csv", b"user_id,action\nu,query\n" + content.replace(b"\0", b""))

    rows = events(path)

    assert rows[0].key == b"u"  # type: ignore[union-attr]
    assert all(isinstance(row, FileRecord) or row.reason in REASONS for row in rows)


# --- bad rows


@pytest.mark.parametrize(
    ("row", "reason", "detail"),
    [
        ("u,watch,i,,", "schema", "watch"),
        (",view,i,,", "schema", "user_id"),
        ("u,view,,,", "no_item", "needs an item_id"),
        ("u" * 129 + ",view,i,,", "bad_id", "user_id"),
        ("u,view,i,yesterday,", "bad_time", "yesterday"),
        ("u,view,i,2999-01-01,", "time_out_of_bounds", "not within"),
        ("u,view,i", "schema", "3 cells, but the header names 5 columns"),
        ("u,view,i,,,6,7", "schema", "7 cells"),
        (b"u\xff,view,i,,", "not_json", "not UTF-8"),
        ("u,view," + "i" * 200_000 + ",,", "too_large", "bytes"),
        ('u,view,"i,,', "schema", "not CSV: a quote is opened and not closed"),
        ('u,view,i,,"1" high', "schema", "not CSV: a quote inside a quoted cell must be doubled"),
        ("u" * 1000 + ",view,i,,", "too_large", "bytes"),
    ],
)
def test_a_bad_row_is_told_with_its_line_and_reason_and_the_rest_goes_on(
    tmp_path: Path, row: str | bytes, reason: str, detail: str
) -> None:
    middle = row if isinstance(row, bytes) else row.encode()
    content = b"user_id,action,item_id,event_time,value\na,view,i,,\n" + middle + b"\nz,view,i,,\n"

    first, bad, last = events(write(tmp_path, "a.csv", content))

    assert (first.key, last.key) == (b"a", b"z")  # type: ignore[union-attr]
    assert isinstance(bad, BadRow)
    assert (3, reason) == (bad.line, bad.reason)
    assert detail in bad.detail


@pytest.mark.parametrize(
    ("line", "reason"), [("{oops", "not_json"), ("[1]", "schema"), ('{"user_id":["u"]}', "schema")]
)
def test_a_bad_line_of_json_is_told_and_the_rest_goes_on(tmp_path: Path, line: str, reason: str) -> None:
    good = '{"user_id":"u","action":"query"}'

    rows = events(write(tmp_path, "a.jsonl", f"{good}\n{line}\n{good}\n"))

    assert [None, reason, None] == [getattr(row, "reason", None) for row in rows]


@pytest.mark.parametrize("cell", ["much", "inf", "NaN", "1_000", "15.00 USD"])
def test_an_optional_cell_that_cannot_be_read_costs_its_field_and_is_told(tmp_path: Path, cell: str) -> None:
    path = write(tmp_path, "a.csv", f"user_id,action,item_id,value\nu,view,i,{cell}\n")

    (row,) = events(path)

    assert values([row]) == [{"user_id": "u", "action": "view", "item_id": "i", "source": "behaviour"}]
    assert (Change("value", MENDED),) == row.changes  # type: ignore[union-attr]


def test_half_an_emoji_in_a_text_is_a_question_mark_in_a_box_and_in_an_id_it_is_refused(tmp_path: Path) -> None:
    lines = (
        rb'{"user_id":"u","action":"query","text":"tea \ud83d"}',
        rb'{"user_id":"u\ud83d","action":"query"}',
        b'{"user_id":"u","action":"query","text":"caf\xe9"}',
    )

    mended, half_an_id, latin = events(write(tmp_path, "a.jsonl", b"\n".join(lines)))

    assert values([mended])[0]["text"] == "tea \ufffd"
    assert (half_an_id.reason, latin.reason) == ("bad_id", "not_json")  # type: ignore[union-attr]
    assert "iconv" in latin.detail  # type: ignore[union-attr]


def test_a_cell_with_bytes_that_are_no_text_costs_a_row_only_where_the_row_needs_it(tmp_path: Path) -> None:
    content = b"item_id,title,description\n1,Mug,caf\xe9\n2,Caf\xe9,x\n"

    first, second = read_items(write(tmp_path, "a.csv", content), Mapping("item"), limits=LIMITS, now_ms=NOW_MS)

    assert values([first])[0]["description"] == "caf\ufffd"
    assert isinstance(second, BadRow)
    assert "iconv" in second.detail


# --- rows in = sent + refused


def test_a_quote_in_tsv_is_text(tmp_path: Path) -> None:
    titles = ['"Best" tea', '5" pipe', '"', '"never closed', '""', "'"]
    path = write(tmp_path, "a.tsv", "item_id\ttitle\n" + "".join(f"{n}\t{title}\n" for n, title in enumerate(titles)))

    rows = list(read_items(path, Mapping("item"), limits=LIMITS, now_ms=NOW_MS))

    assert titles == [value["title"] for value in values(rows)]


def test_a_quote_that_is_never_closed_costs_its_own_row_only(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", 'item_id,title\n1,Tea\n2,"Mug\n3,Cup\n4,"Pot, blue"\n5,Pan\n')

    rows = list(read_items(path, Mapping("item"), limits=LIMITS, now_ms=NOW_MS))

    assert [(row.line, getattr(row, "key", None)) for row in rows] == [
        (2, b"1"), (3, None), (4, b"3"), (5, b"4"), (6, b"5"),
    ]  # fmt: skip


def test_a_quote_that_is_not_closed_for_very_long_is_one_that_never_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.files.formats.RECORD_MAX_CHARACTERS", 500)
    lines = 'user_id,action\n"u,query\n' + "v,query\n" * 1000

    rows = events(write(tmp_path, "a.csv", lines))

    assert sum(isinstance(row, BadRow) for row in rows) == 1
    assert len(rows) == 1001


def test_a_large_cell_is_one_row_whether_the_worker_would_take_it_or_not(tmp_path: Path) -> None:
    long = "\n".join(f"{n},invented" for n in range(20_000))
    path = write(tmp_path, "a.csv", f'item_id,title,description\n1,Tea,"{long}"\n2,Mug,x\n')

    def read(max_bytes: int) -> list[FileRecord | BadRow]:
        limits = LIMITS._replace(message_max_bytes=max_bytes)
        return list(read_items(path, Mapping("item"), limits=limits, now_ms=NOW_MS))

    assert [value["item_id"] for value in values(read(1_000_000))] == ["1", "2"]
    large, mug = read(1000)
    assert (large.line, large.reason) == (2, "too_large")  # type: ignore[union-attr]
    assert (mug.line, mug.key) == (20_002, b"2")  # type: ignore[union-attr]


_CELL = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=12)
_LINES = st.lists(st.lists(_CELL, min_size=1, max_size=4), min_size=1, max_size=12)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_LINES)
def test_of_any_tsv_every_line_is_sent_or_refused(tmp_path: Path, lines: list[list[str]]) -> None:
    text = ["\t".join(cells) for cells in lines]
    path = write(tmp_path, "a.tsv", "user_id\taction\nu\tquery\n" + "\n".join(text))

    rows = events(path)

    assert 1 + sum(line != "" for line in "\n".join(text).split("\n")) == len(rows)
    assert all(isinstance(row, FileRecord) or row.reason in REASONS for row in rows)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(
    st.lists(
        st.tuples(st.lists(_CELL, min_size=1, max_size=4), st.booleans(), st.integers(0, 3)), min_size=1, max_size=12
    )
)
def test_of_a_csv_with_quotes_that_nobody_closed_every_row_is_sent_or_refused(
    tmp_path: Path, written: list[tuple[list[str], bool, int]]
) -> None:
    """A stray quote opens a cell; it may not happen to end one, which would be good CSV of fewer rows."""
    lines = []
    for cells, is_spoilt, at in written:
        row = io.StringIO(newline="")
        csv.writer(row, quoting=csv.QUOTE_ALL, lineterminator="").writerow(cells)
        plain = [cell.replace('"', "").replace(",", "") or "x" for cell in cells]
        plain[at % len(plain)] = '"' + plain[at % len(plain)]
        lines.append(",".join(plain) if is_spoilt else row.getvalue())
    path = write(tmp_path, "a.csv", "user_id,action\nu,query\n" + "\n".join(lines))

    rows = events(path)

    assert [row.line for row in rows] == list(range(2, 3 + len(lines)))
    good = [cells for cells, is_spoilt, _ in written if not is_spoilt and len(cells) == 2 and cells[1] == "query"]
    assert len(good) >= sum(isinstance(row, FileRecord) for row in rows) - 1


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=40).map(lambda b: b.replace(b"\n", b"").replace(b"\0", b"")), max_size=12))
def test_of_any_json_lines_every_line_is_sent_or_refused(tmp_path: Path, lines: list[bytes]) -> None:
    path = write(tmp_path, "a.jsonl", b'{"user_id":"u","action":"query"}\n' + b"\n".join(lines))

    assert 1 + sum(bool(line.strip()) for line in lines) == len(events(path))


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.text(max_size=5) | st.none(), st.floats() | st.none(), st.text(max_size=8)), min_size=1))
def test_of_any_parquet_every_row_is_sent_or_refused(
    tmp_path: Path, written: list[tuple[str | None, float | None, str]]
) -> None:
    schema = {"user_id": pl.String, "value": pl.Float64, "text": pl.String}
    pl.DataFrame(written, schema, orient="row").write_parquet(tmp_path / "a.parquet")

    rows = events(tmp_path / "a.parquet", "user_id=user_id,action=:query,value=value,text=text,dwell_ms=value")

    assert list(range(1, len(written) + 1)) == [row.line for row in rows]
    assert [bool(user) for user, _, _ in written] == [isinstance(row, FileRecord) for row in rows]


# --- ids


def test_ids_are_text_and_are_not_changed(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "user_id,item_id,action\n17850.0,007,view\n 17850,1e5,view\n")

    assert [(v["user_id"], v["item_id"]) for v in values(events(path))] == [("17850.0", "007"), (" 17850", "1e5")]


def test_int_in_the_mapping_cuts_the_fraction_of_whole_numbers_and_refuses_all_others(tmp_path: Path) -> None:
    ids = ["17850.0", "17850", "12345678901234567890123.0", "007.", "1.5", "A1", "1e5"]
    path = write(tmp_path, "a.csv", "u\n" + "\n".join(ids))

    rows = events(path, "user_id=u:int,action=:query")

    assert [row.key for row in rows[:4]] == [b"17850", b"17850", b"12345678901234567890123", b"007"]  # type: ignore[union-attr]
    assert [row.reason for row in rows[4:]] == ["schema"] * 3  # type: ignore[union-attr]
    assert "'1.5' is not a whole number" in rows[4].detail  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl"])
def test_ids_that_became_floats_are_whole_again_and_that_is_told(tmp_path: Path, name: str) -> None:
    frame = pl.DataFrame({"user_id": [17850.0, 1.5, 2.0**53, None], "action": "query"})
    (frame.write_parquet if name == "a.parquet" else frame.write_ndjson)(tmp_path / name)

    whole, fraction, huge, _none = events(tmp_path / name)

    assert (whole.key, fraction.key) == (b"17850", b"1.5")  # type: ignore[union-attr]
    assert (Change("user_id", FLOAT_ID),) == whole.changes  # type: ignore[union-attr]
    assert huge.reason == "schema"  # type: ignore[union-attr]
    assert "too large a float" in huge.detail  # type: ignore[union-attr]


def test_decimals_and_durations_of_parquet_are_numbers(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "user_id": [Decimal("7.00")],
            "value": [Decimal("9.90")],
            "dwell_ms": [timedelta(seconds=2)],
            "slot": [Decimal("3.0")],
            "event_time": [Decimal("1291191960.000")],
            "context.size": [Decimal("1.50")],
        }
    )
    frame.write_parquet(tmp_path / "a.parquet")
    columns = {name: name for name in frame.columns} | {"action": ":view", "item_id": ":i"}

    (row,) = events(tmp_path / "a.parquet", ",".join(f"{field}={column}" for field, column in columns.items()))

    assert values([row]) == [
        {
            "user_id": "7",
            "action": "view",
            "item_id": "i",
            "event_time": TIME_MS,
            "dwell_ms": 2000,
            "value": 9.9,
            "context": {"size": "1.50"},
            "slot": 3,
        }
    ]
    items = pl.DataFrame({"item_id": ["a"], "title": ["Tea"], "price": [Decimal("2.50")]})
    items.write_parquet(tmp_path / "b.parquet")
    (item,) = read_items(tmp_path / "b.parquet", Mapping("item"), limits=LIMITS, now_ms=NOW_MS)
    assert (values([item])[0]["price"], item.changes) == (2.5, ())  # type: ignore[union-attr]


# --- times


@pytest.mark.parametrize(
    "cell",
    [
        TIME_MS,
        TIME_MS // 1000,
        str(TIME_MS),
        str(TIME_MS // 1000),
        "1291191960.0",
        "2010-12-01T08:26:00Z",
        "2010-12-01T10:26:00+02:00",
        "2010-12-01 08:26:00",
        "2010-12-01 08:26",
        datetime(2010, 12, 1, 8, 26, tzinfo=UTC),
        datetime(2010, 12, 1, 8, 26),  # noqa: DTZ001
    ],
)
def test_a_time_is_understood_in_every_documented_way(cell: object) -> None:
    assert read_time_ms(cell, Times()) == TIME_MS


def test_a_time_without_an_offset_is_local_to_the_time_zone_and_one_with_it_is_not() -> None:
    summer = Times(parse_timezone("Europe/London"))

    assert read_time_ms("2011-07-01T11:00:00Z", summer) == read_time_ms("2011-07-01 12:00:00", summer)
    assert read_time_ms("2011-01-01T12:00:00Z", summer) == read_time_ms("2011-01-01 12:00:00", summer)
    assert read_time_ms("2011-10-30T00:30:00Z", summer) == read_time_ms("2011-10-30 01:30", summer), "the first 01:30"


def test_the_unit_of_numbers_can_be_said_and_a_pattern_reads_other_times() -> None:
    assert read_time_ms("1000", Times(unit="ms")) == 1000
    assert read_time_ms("1000", Times(unit="s")) == 1_000_000
    assert read_time_ms("12/1/2010 8:26", Times(pattern="%m/%d/%Y %H:%M")) == TIME_MS
    assert read_time_ms("2010-12-01", Times(pattern="%m/%d/%Y")) == "2010-12-01"


@pytest.mark.parametrize(("unit", "per_s"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
@pytest.mark.parametrize("as_", [int, str, float])
def test_a_number_is_a_time_in_every_unit_and_auto_tells_them_apart(unit: Any, per_s: int, as_: type) -> None:
    cell = as_(TIME_MS // 1000 * per_s)

    assert read_time_ms(cell, Times(unit=unit)) == TIME_MS
    assert read_time_ms(cell, Times()) == TIME_MS


@pytest.mark.parametrize(
    ("cell", "day"),
    [
        ("1995", (1995, 1, 1)),
        (1995, (1995, 1, 1)),
        (1995.0, (1995, 1, 1)),
        ("20230102", (2023, 1, 2)),
        ("2023-01-02", (2023, 1, 2)),
        (str(TIME_MS), (2010, 12, 1)),
        ("19700110", (1970, 1, 10)),
        ("1965-03-04", (1965, 3, 4)),
        ("0", None),
        ("-1", None),
        ("20231301", None),
        ("soon", None),
    ],
)
def test_when_an_item_was_published_comes_through_as_it_was_meant(
    tmp_path: Path, cell: Any, day: tuple[int, int, int] | None
) -> None:
    pl.DataFrame({"item_id": ["a"], "title": ["Tea"], "published_at": [cell]}).write_parquet(tmp_path / "a.parquet")

    (row,) = read_items(tmp_path / "a.parquet", Mapping("item"), limits=LIMITS, now_ms=NOW_MS)

    decoded = decode_item(b"a", row.value, LIMITS)  # type: ignore[union-attr]
    assert isinstance(decoded, DecodedItem)
    published = decoded.published_at_ms
    assert day == (None if published is None else datetime.fromtimestamp(published / 1000, UTC).timetuple()[:3])


def test_an_unknown_time_zone_is_named() -> None:
    with pytest.raises(InputFileError, match="Mars/Olympus"):
        parse_timezone("Mars/Olympus")


# --- mapping


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("user_id", "'user_id' in the mapping is not field=column"),
        ("user_id=", "is not field=column"),
        ("user=CustomerID,action=:view", "'user', which is no field"),
        ("user_id=a,user_id=b,action=:view", "gives user_id twice"),
        ("item_id=a,action=:view", "leaves out user_id"),
        ("user_id=a,item_id=b", "leaves out action"),
        ('"user_id=a', "cannot be read"),
        ("context.=a,user_id=a,action=:view", "'context.', which is no field"),
    ],
)
def test_a_bad_mapping_names_its_fault_and_the_fix(text: str, named: str) -> None:
    with pytest.raises(InputFileError) as caught:
        parse_mapping(text)

    assert named in caught.value.message
    assert caught.value.fix


def test_a_pair_in_quotes_may_hold_a_comma_and_a_constant_may_hold_anything() -> None:
    mapping = parse_mapping('"user_id=Name, first", action=:view, text=:a=b:c')

    assert [pair.column for pair in mapping.pairs] == ["Name, first", None, None]
    assert [pair.constant for pair in mapping.pairs] == [None, "view", "a=b:c"]


def test_context_fields_are_gathered_into_their_object(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "user_id,action,context.device,where\nu,query,tv,home\n")

    assert values(events(path))[0]["context"] == {"device": "tv"}
    mapped = events(path, "user_id=user_id,action=action,context.place=where,context.device=context.device")
    assert values(mapped)[0]["context"] == {"device": "tv", "place": "home"}


@pytest.mark.parametrize("mapping", ["user_id=Customer,action=:view", ""])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_a_wrong_column_is_an_error_that_lists_the_columns_that_exist(tmp_path: Path, name: str, mapping: str) -> None:
    frame = pl.DataFrame({"CustomerID": ["1"], "StockCode": ["2"]})
    {"csv": frame.write_csv, "jsonl": frame.write_ndjson, "parquet": frame.write_parquet}[name.split(".")[1]](
        tmp_path / name
    )

    with pytest.raises(InputFileError, match="it has 'CustomerID', 'StockCode'") as caught:
        events(tmp_path / name, mapping)

    assert "user_id" in caught.value.fix


# --- files that are not what they were said to be


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv.gz", gzip.compress(b""), "is empty"),
        ("a.csv", b"user_id,action\n", "holds no rows"),
        ("a.jsonl", b"\n\n", "holds no rows"),
        ("a.txt", b"user_id\n", "no known extension"),
        ("a", b"user_id\n", "no known extension"),
        ("a.csv", bytes(range(256)), "not UTF-8 text"),
        ("a.csv", "user_id,action\n".encode("utf-16"), "not UTF-8 text"),
        ("a.csv", b"Stra\xdfe,user_id\n1,2\n", "does not start with a header in UTF-8"),
        ("a.jsonl", b"user_id,action\nu,query\n", "not JSON lines: line 1"),
        ("a.jsonl", b"PAR1....", "not UTF-8 text"),
        ("a.csv.gz", b"user_id,action\nu,query\n", "cannot be read"),
        ("a.csv.gz", gzip.compress(b"user_id,action\nu,query\n")[:-9], "cannot be read"),
        ("a.csv.zst", bytes(cramjam.zstd.compress(b"user_id,action\nu,query\n"))[:-4], "cannot be read"),
        ("a.csv.xz", b"user_id,action\nu,query\n", "cannot be read"),
        ("a.csv.bz2", b"user_id,action\nu,query\n", "cannot be read"),
        ("a.parquet", b"user_id,action\nu,query\n", "is not Parquet"),
        ("a.parquet.gz", gzip.compress(b"x"), "Parquet inside gz"),
    ],
)
def test_an_unusable_file_is_one_line_that_names_it_and_the_fix(
    tmp_path: Path, name: str, content: bytes, named: str
) -> None:
    path = write(tmp_path, name, content)

    with pytest.raises(InputFileError, match=named) as caught:
        events(path)

    assert str(path) in caught.value.message
    assert caught.value.fix
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_directory_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "d.csv").mkdir()

    with pytest.raises(InputFileError, match="is a directory"):
        events(tmp_path / "d.csv")
    with pytest.raises(InputFileError, match="No such file"):
        events(tmp_path / "no.csv")
    with pytest.raises(InputFileError, match="No such file"):
        total_bytes(tmp_path / "no.csv")


# --- items


def test_items_are_read_with_their_lists_numbers_and_attributes(tmp_path: Path) -> None:
    path = write(
        tmp_path, "a.csv", "sku,name,cats,price,live,colour,at\n1.0,Mug,Home | Kitchen|,2.50,no,red,2010-12-01 08:26\n"
    )
    text = (
        "item_id=sku:int,title=name,categories=cats,price=price,available=live,attributes.colour=colour,published_at=at"
    )

    (row,) = read_items(path, parse_mapping(text, "item"), limits=LIMITS, now_ms=NOW_MS)

    assert isinstance(row, FileRecord)
    assert (row.key, row.time_ms) == (b"1", TIME_MS)
    assert msgspec.json.decode(row.value) == {
        "item_id": "1",
        "title": "Mug",
        "categories": ["Home", "Kitchen"],
        "published_at": TIME_MS,
        "available": False,
        "price": 2.5,
        "attributes": {"colour": "red"},
    }


@pytest.mark.parametrize(
    ("cell", "available"), [("True", True), ("1", True), ("false", False), ("0", False), ("", None)]
)
def test_availability_is_read_from_the_usual_words(tmp_path: Path, cell: str, available: bool | None) -> None:
    path = write(tmp_path, "a.csv", f"item_id,title,available\n1,Mug,{cell}\n")

    (row,) = read_items(path, Mapping("item"), limits=LIMITS, now_ms=NOW_MS)

    assert msgspec.json.decode(row.value).get("available") is available  # type: ignore[union-attr]


def test_an_item_without_a_title_or_an_id_is_refused_and_the_rest_goes_on(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "item_id,title\n1,\n,Mug\n2,Mug\n")

    rows = list(read_items(path, Mapping("item"), limits=LIMITS, now_ms=NOW_MS))

    assert [getattr(row, "reason", None) for row in rows] == ["schema", "schema", None]
    assert rows[2].time_ms == NOW_MS  # type: ignore[union-attr]
