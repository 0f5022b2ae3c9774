"""`penchant dead-letter` against an embedded broker: what is listed, shown and sent again, and what is refused in one line."""

from __future__ import annotations

import json

import pytest
from dead_letters import letter_headers, produce_letters
from typer.testing import CliRunner

from stream.cli.main import app
from stream.kafka.read_to_end import read_messages
from stream.settings import Settings

LETTERS = "interest.dead-letter"
ODD = b"\x00\xff{}\n\x1b[31m"


@pytest.fixture
def shop(embedded, clean_place, monkeypatch):
    broker = embedded({"interest.events": 4, "interest.items": 1, "interest.item-deltas": 1, LETTERS: 1})
    monkeypatch.setenv("PENCHANT_BOOTSTRAP_SERVERS", broker.bootstrap_servers)
    produce_letters(
        broker.bootstrap_servers,
        LETTERS,
        [
            (b"ann", ODD, [*letter_headers(0), ("header.trace", b"t"), ("header.reason", None)]),
            (b"bob", b"no json", letter_headers(1, "not_json")),
            (None, None, letter_headers(2, "empty", "interest.items", headers_left_out=3)),
            (b"cid", b"state", letter_headers(-1, "quarantined")),
            (b"dan", b"x" * 70_000, letter_headers(4, "too_large", whole_bytes=9_000_000)),
        ],
    )
    return Settings(bootstrap_servers=broker.bootstrap_servers)


def dead_letter(*arguments):
    return CliRunner().invoke(app, ["dead-letter", *arguments])


def records(settings, topic):
    return [message for messages in read_messages(settings, topic) for message in messages]


def test_list_counts_by_reason_and_shows_the_newest_first(shop) -> None:
    result = dead_letter("list")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].split("\t")[:3] == ["letter", "refused", "reason"]
    assert [line.split("\t")[0] for line in lines[1:6]] == ["0:4", "0:3", "0:2", "0:1", "0:0"]
    assert lines[6].startswith("5 dead letters: ")
    assert lines[6].endswith("; 0 were sent again.")
    assert "2 were" not in dead_letter("list", "--limit", "1").stdout
    assert "Shown: the newest 1." in dead_letter("list", "--limit", "1").stdout


def test_list_as_json_is_a_line_a_letter_and_the_summary_is_not_among_them(shop) -> None:
    result = dead_letter("list", "--json", "--reason", "schema")
    (line,) = map(json.loads, result.stdout.splitlines())
    assert line["source"] == {
        "topic": "interest.events",
        "partition": 0,
        "offset": 0,
        "timestamp_ms": 1_767_225_600_000,
    }
    assert {name: line[name] for name in ("partition", "offset", "key", "bytes", "replayed", "can_be_replayed")} == {
        "partition": 0, "offset": 0, "key": "ann", "bytes": len(ODD), "replayed": False, "can_be_replayed": True
    }  # fmt: skip
    assert result.stderr == "1 dead letter: 1 schema; 0 were sent again.\n"
    newest = dead_letter("list", "--json", "--limit", "2").stdout.splitlines()
    assert [json.loads(line)["offset"] for line in newest] == [4, 3]


def test_filters_that_nothing_matches_say_so(shop) -> None:
    assert dead_letter("list", "--key", "nobody").stdout == "No dead letters match.\n"
    assert dead_letter("list", "--until", "2020-01-01").stdout == "No dead letters match.\n"


def test_show_tells_everything_and_nothing_that_a_terminal_obeys(shop) -> None:
    result = dead_letter("show", "0:0")
    assert result.exit_code == 0, result.output
    for said in ("schema", "because", "interest.events partition 0 offset 0", "header trace\tt", "header reason\tnone"):
        assert said in result.stdout
    assert "\x1b" not in result.stdout
    assert "\\x00\\xff{}\n\\x1b[31m" in result.stdout
    assert "no value" in dead_letter("show", "0:2").stdout
    assert "3 were too large to be kept" in dead_letter("show", "0:2").stdout
    large = dead_letter("show", "0:4").stdout
    assert "the first 70,000 of 9,000,000" in large
    assert "4,464 more bytes: --raw" in large


def test_raw_is_the_bytes_and_nothing_else(shop) -> None:
    assert dead_letter("show", "0:0", "--raw").stdout_bytes == ODD
    assert dead_letter("show", "0:2", "--raw").stdout_bytes == b""
    assert "only the first 70,000 of 9,000,000 bytes" in dead_letter("show", "0:4", "--raw").stderr


def test_replay_sends_each_once_and_says_what_it_did_not(shop) -> None:
    dry = dead_letter("replay", "--all", "--dry-run")
    assert "3 records would be sent again: 2 to interest.events, 1 to interest.items." in dry.stdout
    assert records(shop, "interest.events") == []

    result = dead_letter("replay", "--all")
    assert result.exit_code == 0, result.output
    assert "3 records sent again: 2 to interest.events, 1 to interest.items." in result.stdout
    assert "1 letter passed over: it is about a user and no record." in result.stdout
    assert "1 letter passed over: only its beginning was kept." in result.stdout

    again = dead_letter("replay", "--all")
    assert "0 records sent again: nothing." in again.stdout
    assert "3 letters passed over: sent before." in again.stdout
    found = {message.key(): message for message in records(shop, "interest.events")}
    assert {key: message.value() for key, message in found.items()} == {b"ann": ODD, b"bob": b"no json"}
    assert found[b"ann"].headers() == [("trace", b"t"), ("reason", None)]
    assert found[b"ann"].timestamp()[1] == 1_767_225_600_000
    assert "3 were sent again" in dead_letter("list").stdout
    assert "sent again\tyes" in dead_letter("show", "0:0").stdout


def test_what_our_own_client_would_not_send_costs_itself_alone(shop, monkeypatch) -> None:
    headers = [*letter_headers(9), ("header.", b"no name")]
    produce_letters(
        shop.bootstrap_servers, LETTERS, [(b"eve", b"x" * 900_000, letter_headers(8)), (b"eve", b"y", headers)]
    )
    monkeypatch.setenv("PENCHANT_FETCH_MAX_BYTES", "500000")
    monkeypatch.setenv("PENCHANT_MESSAGE_MAX_BYTES", "400000")
    result = dead_letter("replay", "--key", "eve", "--key", "ann")
    assert result.exit_code == 1, result.output
    assert "2 records sent again" in result.stdout
    assert "1 record not taken by the broker" in result.stdout
    assert {message.value() for message in records(shop, "interest.events")} == {ODD, b"y"}


def test_replay_of_single_letters_and_of_a_filter(shop) -> None:
    assert "1 record sent again" in dead_letter("replay", "0:1").stdout
    assert "1 record sent again" in dead_letter("replay", "--reason", "schema", "--rate", "1000").stdout
    assert "1 record sent again" in dead_letter("replay", "--source", "interest.items", "--wait", "0").stdout
    assert "1 letter passed over: it is about" in dead_letter("replay", "--key", "cid").stdout


def test_waiting_without_workers_says_that_nothing_is_known(shop) -> None:
    said = dead_letter("replay", "--all", "--wait", "0").stdout
    assert "0 records came back as a new letter." in said
    assert "2 events not read by workers yet" in said
    assert "1 record went to other topics" in said


def test_the_embedded_broker_cannot_purge_and_that_is_said(shop) -> None:
    result = dead_letter("purge", "--all", "--yes")
    assert result.exit_code == 2
    assert result.stderr.startswith("penchant: the embedded broker cannot delete records. Fix: ")
    assert len(records(shop, LETTERS)) == 5


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("list", "--reason", "odd"), "--reason 'odd' is none. Fix: there are: empty, "),
        (("list", "--since", "yesterday"), "--since 'yesterday' is no time"),
        (("list", "--since", "1h", "--until", "2h"), "--until is not after --since"),
        (("show", "17"), "'17' is no PARTITION:OFFSET"),
        (("show", "0:99999999999999999999"), "is no PARTITION:OFFSET"),
        (("show", "7:0"), "interest.dead-letter has no partition 7. Fix: it has 1"),
        (("show", "0:5"), "partition 0 has no offset 5. Fix: it holds 0 to 4"),
        (("replay",), "nothing says which letters. Fix: give --all"),
        (("replay", "--all", "--key", "ann"), "--all contradicts what else is given"),
        (("replay", "0-1"), "'0-1' is no PARTITION:OFFSET"),
        (("replay", "--all", "--dry-run", "--wait", "3"), "nothing to wait for with --dry-run"),
        (("purge",), "nothing says which letters. Fix: give --all"),
        (("purge", "--all", "--until", "7d"), "--all contradicts what else is given"),
        (("purge", "--to", "0:1", "--to", "0:2"), "--to names a partition twice"),
        (("purge", "--to", "x"), "--to 'x' is no PARTITION:OFFSET"),
    ],
)
def test_what_is_wrong_is_one_line_that_names_the_fix(shop, arguments, says) -> None:
    result = dead_letter(*arguments)
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("penchant: ")
    assert says in line
    assert "Fix: " in line


def test_without_the_topic_each_says_so_in_one_line(embedded, clean_place, monkeypatch) -> None:
    monkeypatch.setenv("PENCHANT_BOOTSTRAP_SERVERS", embedded({"interest.events": 1}).bootstrap_servers)
    monkeypatch.setenv("PENCHANT_TOPIC_DEAD_LETTER", "no-such-topic")
    monkeypatch.setattr("stream.dead_letters.topic.partitions_of", _refusing)
    for arguments in (("list",), ("show", "0:0"), ("replay", "--all")):
        result = dead_letter(*arguments)
        assert result.exit_code == 2
        assert "no-such-topic does not exist" in result.stderr


def _refusing(settings, topic):
    """The embedded broker makes each topic that is asked for."""
    from stream.errors import TopicsError  # noqa: PLC0415

    raise TopicsError(f"topic {topic} does not exist.", "run `penchant topics create`")


def test_a_shadow_replays_nothing(shop, monkeypatch) -> None:
    monkeypatch.setenv("PENCHANT_SHADOW", "next")
    result = dead_letter("replay", "--all")
    assert result.exit_code == 2
    assert "a shadow's letters" in result.stderr
