"""Rows of CSV, TSV, JSON lines and Parquet files, compressed or not, one after the other and in bounded memory."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import mmap
import tempfile
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, cast

import cramjam
import msgspec

from stream.errors import InputFileError
from stream.wire.decode import Rejected
from stream.wire.mending import Fields, read_object

Format = Literal["csv", "tsv", "jsonl", "parquet"]
Numbered = tuple[int, Any, int]
"""Line or row number, the row or why it is `Rejected`, and roughly how many bytes of the stored file are behind it."""

EXTENSIONS: dict[str, Format] = {
    "csv": "csv",
    "tsv": "tsv",
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "parquet": "parquet",
    "pq": "parquet",
}
COMPRESSIONS = ("gz", "bz2", "xz", "zst")
FORMATS = f"one of {', '.join(EXTENSIONS)}, the text formats also with .{', .'.join(COMPRESSIONS)}"

LINE_MAX_BYTES = 16 << 20
"""A longer line of JSON is no record; without a bound a file without line ends would be read whole."""

RECORD_MAX_CHARACTERS = 16 << 20
"""The same of a row of CSV: a quote that is not closed within so many characters is taken for one that never is."""

NOT_UTF_8 = "the row is not UTF-8 (to convert a file: iconv -f LATIN1 -t UTF-8)"

_PEEK_ROWS = 100  # JSON rows looked at for the keys that exist
_PARQUET_SLICE_ROWS = 65_536
_PROGRESS_EVERY_ROWS = 256
_BROKEN = (OSError, EOFError, zlib.error, lzma.LZMAError, cramjam.DecompressionError)


class Table(NamedTuple):
    """An open file. The cells of a row stand in the order of `columns`, or each row is a dict (JSON lines)."""

    columns: tuple[str, ...]
    rows_are_dicts: bool
    rows: Iterator[Numbered]


class _Source(NamedTuple):
    """Unpacked bytes, and how far into the stored file they come from."""

    stream: IO[bytes]
    bytes_read: Callable[[], int]


@contextmanager
def open_table(path: Path, extensions: str | None = None) -> Iterator[Table]:
    """The rows of `path`; `extensions`, such as `csv` or `jsonl.gz`, speak instead of those of its name.

    Raises:
        InputFileError: it is missing, empty, broken or not of that format; also while the rows are read.
    """
    format_, compression = _parse_extensions(path, extensions)
    try:
        with ExitStack() as stack:
            _refuse_empty(path)
            if format_ == "parquet":
                yield _open_parquet(path, compression)
                return
            source = stack.enter_context(_open_source(path, compression))
            _refuse_binary(source.stream, path)
            if format_ == "jsonl":
                yield _open_json_lines(source, path)
            else:
                text = io.TextIOWrapper(source.stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
                stack.enter_context(text)  # closed here and not when collected, which would be a ResourceWarning
                yield _open_csv(text, source, format_, path)
    except _BROKEN as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
        raise InputFileError(f"{path} cannot be read: {reason}.", "check that it exists and is complete") from None


def _parse_extensions(path: Path, extensions: str | None) -> tuple[Format, str]:
    parts = (path.name if extensions is None else f".{extensions.lstrip('.')}").lower().split(".")[1:]
    compression = parts.pop() if parts and parts[-1] in COMPRESSIONS else ""
    if extensions is not None and not compression and path.suffix.lower().lstrip(".") in COMPRESSIONS:
        compression = path.suffix.lower().lstrip(".")
    if not parts or parts[-1] not in EXTENSIONS:
        what = f"{path} has no known extension" if extensions is None else f"{extensions!r} is no format of a file"
        raise InputFileError(f"{what}.", f"give its format, {FORMATS}")
    return EXTENSIONS[parts[-1]], compression


# --- bytes ---


def _refuse_empty(path: Path) -> None:
    if path.is_dir():
        raise InputFileError(f"{path} is a directory.", "name one file in it")
    if path.stat().st_size == 0:
        raise InputFileError(f"{path} is empty.", "name a file with data")


def _refuse_binary(stream: IO[bytes], path: Path) -> None:
    head = cast("io.BufferedReader", stream).peek(4096)[:4096]
    if not head:
        raise InputFileError(f"{path} is empty.", "name a file with data")
    if head.startswith(b"PAR1") or b"\0" in head:
        raise InputFileError(f"{path} is not UTF-8 text.", f"give its true format, {FORMATS}")


@contextmanager
def _open_source(path: Path, compression: str) -> Iterator[_Source]:
    with ExitStack() as stack:
        stored = stack.enter_context(path.open("rb"))
        if compression == "zst":
            stream = stack.enter_context(_unpack_zstd(stored))
            size = stored.seek(0, io.SEEK_END)
            unpacked = max(1, stream.seek(0, io.SEEK_END))
            stream.seek(0)
            yield _Source(stream, lambda: size * stream.tell() // unpacked)
            return
        unpack: dict[str, Callable[[IO[bytes]], Any]] = {"gz": gzip.open, "bz2": bz2.open, "xz": lzma.open}
        opened = stack.enter_context(unpack[compression](stored)) if compression else stored
        yield _Source(opened, stored.tell)


@contextmanager
def _unpack_zstd(stored: IO[bytes]) -> Iterator[IO[bytes]]:
    """cramjam unpacks zstd only in one go, but from mapped memory into a file it needs none of its own."""
    with (
        tempfile.NamedTemporaryFile(prefix="penchant-") as unpacked,
        mmap.mmap(stored.fileno(), 0, access=mmap.ACCESS_READ) as packed,
    ):
        cramjam.zstd.decompress_into(packed, cramjam.File(unpacked.name))
        yield unpacked.file


# --- formats ---


class _Lines:
    """The lines of a text, from which some can be given back. `csv.reader` reads them."""

    def __init__(self, text: IO[str], path: Path) -> None:
        self._text, self._path = text, path
        self._returned: deque[str] = deque()
        self._n_chars = 0
        self.taken: list[str] = []
        """Lines of the record that is being read."""
        self.number = 0
        """Of the line that was taken last, from 1."""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self._n_chars > RECORD_MAX_CHARACTERS:
            raise StopIteration  # a quote that is not closed until here is taken for one that never is
        line = self._returned.popleft() if self._returned else self._text.readline(RECORD_MAX_CHARACTERS)
        if not line:
            raise StopIteration
        self.number += 1
        if len(line) >= RECORD_MAX_CHARACTERS:
            raise InputFileError(
                f"{self._path}: line {self.number} is longer than {RECORD_MAX_CHARACTERS} characters.",
                "put one row on a line",
            )
        self.taken.append(line)
        self._n_chars += len(line)
        return line

    def begin(self) -> None:
        """Another record begins."""
        self.taken, self._n_chars = [], 0

    def give_back(self) -> None:
        """Read again from the second line of the record on."""
        self._returned.extendleft(reversed(self.taken[1:]))
        self.number -= len(self.taken) - 1


def _open_csv(text: io.TextIOWrapper, source: _Source, format_: Format, path: Path) -> Table:
    csv.field_size_limit(RECORD_MAX_CHARACTERS)  # how large a record may be is for decode to say
    lines = _Lines(text, path)
    reader = csv.reader(
        lines,
        delimiter="," if format_ == "csv" else "\t",
        # TSV knows no quotes: they are text, and a cell ends at the tab or the line's end.
        quoting=csv.QUOTE_MINIMAL if format_ == "csv" else csv.QUOTE_NONE,
        strict=True,
    )
    try:
        header = next(reader, [])
        "".join(header).encode()
    except (csv.Error, UnicodeEncodeError):
        raise InputFileError(f"{path} does not start with a header in UTF-8.", f"give its format, {FORMATS}") from None
    return Table(tuple(name.strip() for name in header), False, _csv_rows(reader, lines, len(header), source))


def _csv_rows(reader: Iterator[list[str]], lines: _Lines, width: int, source: _Source) -> Iterator[Numbered]:
    """A row that spans several lines is believed only if it is as wide as the header; else its first line alone is refused, and
    reading goes on with the next: a quote that somebody forgot to close must not swallow the rows behind it.
    """
    bytes_read, count = 0, 0
    while True:
        lines.begin()
        line = lines.number + 1
        try:
            row: Any = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            row = Rejected("schema", f"not CSV: {_csv_problem(str(error))}")
        if not row:  # an empty line
            continue
        if len(row) != width and not isinstance(row, Rejected):
            row = Rejected("schema", f"{len(row)} cells, but the header names {width} columns")
        if isinstance(row, Rejected):
            lines.give_back()
        if count % _PROGRESS_EVERY_ROWS == 0:
            bytes_read = source.bytes_read()
        count += 1
        yield line, row, bytes_read


def _csv_problem(said: str) -> str:
    """In words that help: what the csv module says of quotes."""
    if said == "unexpected end of data":
        return "a quote is opened and not closed"
    return "a quote inside a quoted cell must be doubled" if "expected after" in said else said


def _open_json_lines(source: _Source, path: Path) -> Table:
    rows = _json_rows(source, path)
    peeked = list(islice(rows, _PEEK_ROWS))
    if not peeked:
        raise InputFileError(f"{path} holds no rows.", "name a file with at least one row of data")
    if all(isinstance(row, Rejected) for _, row, _ in peeked):
        raise InputFileError(
            f"{path} is not JSON lines: line {peeked[0][0]}: {peeked[0][1].detail}.",
            f"put one object on each line, or give its format, {FORMATS}",
        )
    keys = dict.fromkeys(key for _, row, _ in peeked if isinstance(row, dict) for key in row)
    return Table(tuple(keys), True, chain(peeked, rows))


def _json_rows(source: _Source, path: Path) -> Iterator[Numbered]:
    bytes_read, line, decoder = 0, 0, msgspec.json.Decoder()
    while text := source.stream.readline(LINE_MAX_BYTES):
        line += 1
        if len(text) == LINE_MAX_BYTES:
            raise InputFileError(
                f"{path}: line {line} is longer than {LINE_MAX_BYTES} bytes.", "put one object on a line"
            )
        if not text.strip():
            continue
        text = text.removeprefix(b"\xef\xbb\xbf")
        try:
            row = decoder.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            row = _read_widely(text, str(error))
        if not isinstance(row, dict | Rejected):
            row = Rejected("schema", "the line holds no object")
        if line % _PROGRESS_EVERY_ROWS == 1:
            bytes_read = source.bytes_read()
        yield line, row, bytes_read


def _read_widely(text: bytes, problem: str) -> Fields | Rejected:
    """A line with half an emoji or a NaN in it is one that the worker reads, too."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return Rejected("not_json", NOT_UTF_8)
    return read_object(text) or Rejected("not_json", problem)


def _open_parquet(path: Path, compression: str) -> Table:
    import polars as pl  # noqa: PLC0415  (a quarter of a second that other formats need not wait)

    if compression:
        raise InputFileError(f"{path} is Parquet inside {compression}.", "unpack it; Parquet is compressed within")
    try:
        frame = pl.scan_parquet(path, glob=False)
        columns = tuple(frame.collect_schema().names())
        rows = int(frame.select(pl.len()).collect().item())
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
        raise InputFileError(f"{path} is not Parquet: {reason}.", f"give its format, {FORMATS}") from None
    return Table(columns, False, _parquet_rows(frame, rows, path))


def _parquet_rows(frame: Any, rows: int, path: Path) -> Iterator[Numbered]:
    import polars as pl  # noqa: PLC0415

    size = path.stat().st_size
    for start in range(0, rows, _PARQUET_SLICE_ROWS):
        try:
            part = frame.slice(start, _PARQUET_SLICE_ROWS).collect()
        except pl.exceptions.PolarsError as error:
            raise InputFileError(f"{path} is broken: {error}.", "write it again") from None
        for row, cells in enumerate(part.iter_rows(), start + 1):
            yield row, cells, size * row // rows
