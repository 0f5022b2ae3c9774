"""The command line as a person meets it: help that teaches, one line per mistake, exit codes, and real deliveries."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition
from places import ROOT
from rich.console import Console
from typer.main import get_command
from typer.testing import CliRunner

from stream.cli.lazy import LazyGroup
from stream.cli.main import app
from stream.cli.progress import FileProgress
from stream.display.terminal import Cell, say, show_table
from stream.errors import InvariantError
from stream.kafka.embedded import EmbeddedBroker
from stream.settings import Settings

DEADLINE_S = 60.0
NOBODY = "127.0.0.1:1"

EVENTS_CSV = """user_id,action,item_id,event_time
u1,view,i1,2024-01-01T00:00:00Z
u1,stare,i1,2024-01-01T00:00:01Z
u2,purchase,i2,2024-01-01T00:00:02Z
u2,purchase,,2024-01-01T00:00:03Z
u3,click,i1,2024-01-01T00:00:04Z
"""
ITEMS_CSV = "SKU,Name\ni1,First\ni2,\ni3,Third\n"

Embedded = Callable[[Mapping[str, int]], EmbeddedBroker]


@pytest.fixture(autouse=True)
def _impatient(clean_place: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENCHANT_CONNECT_TIMEOUT_S", "0.3")


@pytest.fixture
def broker(embedded: Embedded, monkeypatch: pytest.MonkeyPatch) -> EmbeddedBroker:
    """An embedded broker with every topic, named by the environment."""
    monkeypatch.setenv("PENCHANT_CONNECT_TIMEOUT_S", "10")
    settings = Settings()
    names = [getattr(settings, name) for name in Settings.model_fields if name.startswith("topic_")]
    made = embedded(dict.fromkeys([*names, settings.changelog_topic], 2))
    monkeypatch.setenv("PENCHANT_BOOTSTRAP_SERVERS", made.bootstrap_servers)
    return made


def penchant(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments), prog_name="penchant")


def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "stream", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        **options,
    )


def consume(broker: EmbeddedBroker, topic: str, partitions: int = 2) -> list[tuple[bytes, bytes]]:
    """Everything in a topic, to the end of each partition."""
    consumer = Consumer(
        {"bootstrap.servers": broker.bootstrap_servers, "group.id": "t", "enable.partition.eof": True, "log_level": 0}
    )
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
    records, ended, deadline = [], 0, time.monotonic() + DEADLINE_S
    try:
        while ended < partitions:
            assert time.monotonic() < deadline
            message = consumer.poll(0.1)
            if message is None:
                continue
            if message.error() is not None:
                assert message.error().code() == KafkaError._PARTITION_EOF
                ended += 1
            else:
                records.append((message.key(), message.value()))
    finally:
        consumer.close()
    return records


def one_line(result: Any) -> str:
    """The only line of stderr, which is no traceback."""
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("penchant: ")
    return lines[0]


# --- help


def _commands() -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with an example of its own: all but groups."""
    root = get_command(app)
    yield (), root
    for name in shown_in(root):
        command = inner_of(root, name)
        if hasattr(command, "commands"):
            yield from (((name, inner), inner_of(command, inner)) for inner in shown_in(command))
        else:
            yield (name,), command


def shown_in(group: Any) -> list[str]:
    return [name for name, command in group.commands.items() if not command.hidden]


def inner_of(group: Any, name: str) -> Any:
    return group.load(name) if isinstance(group, LazyGroup) else group.commands[name]


COMMANDS = list(_commands())


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[" ".join(path) or "penchant" for path, _ in COMMANDS])
def test_every_help_gives_examples_says_what_is_next_and_names_each_option_in_80_columns(
    path: tuple[str, ...], command: Any
) -> None:
    result = penchant(*path, "--help")

    assert result.exit_code == 0
    assert " ".join(("  penchant", *path)) in result.output.partition("Examples:")[2]
    assert "Next: " in result.output
    for parameter in command.params:
        for option in parameter.opts:
            assert option in result.output
    assert all(len(line) <= 80 for line in result.output.splitlines())
    assert "\x1b" not in result.output


def test_every_example_is_a_command_line_that_the_parser_takes() -> None:
    seen = 0
    for _, command in COMMANDS:
        shown = (command.help or "").partition("Examples:")[2].partition("\n\nNext:")[0].replace("\\\n", "")
        for line in shown.strip().splitlines():
            words = line.partition("#")[0].partition("|")[0].split()
            assert words[0] == "penchant"
            inner, name = get_command(app), words[1]
            while hasattr(inner, "commands"):
                inner = inner_of(inner, words.pop(1))
            inner.make_context(name, words[1:])
            seen += 1
    assert seen >= 2 * len(COMMANDS) - 2


def test_the_defaults_that_the_help_tells_are_those_of_the_settings() -> None:
    told = 0
    for path, command in COMMANDS:
        for parameter in command.params:
            field = Settings.model_fields.get(parameter.name or "")
            if (
                field is not None and field.default is not None and path[0] != "evaluate"
            ):  # its --sequence-model is none
                default = f"{field.default:g}" if isinstance(field.default, float) else str(field.default)
                default = default.lower() if isinstance(field.default, bool) else default
                assert str(parameter.help).endswith(f"Default {default}."), (path, parameter.name)
                told += 1
    assert told > 20


def test_no_command_at_all_shows_the_help() -> None:
    result = penchant()

    assert "Examples:" in result.output


def test_the_version_is_one_line() -> None:
    result = penchant("--version")

    assert re.fullmatch(r"penchant \d+\.\d+\.\d+\n", result.output)
    assert result.exit_code == 0


def test_the_summary_in_a_list_of_commands_is_the_first_paragraph_of_the_command_s_own_help() -> None:
    compared = 0
    groups = [get_command(app)]
    while groups:
        group = groups.pop()
        for name in shown_in(group):
            command = inner_of(group, name)
            assert group.commands[name].help == command.help.partition("\n\n")[0].replace("\n", " ") or not isinstance(
                group, LazyGroup
            )
            compared += 1
            groups += [command] if isinstance(command, LazyGroup) else []
    assert compared > 20


HEAVY = ("aiokafka", "faust", "numba", "numpy", "onnx", "onnxruntime", "polars", "rocksdict", "tokenizers", "torch")


@pytest.mark.parametrize(
    ("arguments", "never"),
    [
        (
            ["--help"],
            {*HEAVY, "confluent_kafka", "msgspec", "pydantic", "stream.settings", "stream.worker", "stream.analysis"},
        ),
        (
            ["topics", "list", "--help"],
            {*HEAVY, "stream.worker", "stream.analysis", "stream.refresh", "models.ranking"},
        ),
        (["evaluate", "--help"], {*HEAVY, "confluent_kafka", "msgspec", "stream.settings", "stream.analysis"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_the_help_imports_nothing_heavy(arguments: list[str], never: set[str]) -> None:
    process = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "stream", *arguments],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        timeout=DEADLINE_S,
        check=True,
    )

    imported = {line.rpartition("|")[2].strip() for line in process.stderr.splitlines()}
    assert "typer" in imported
    assert not imported & never


EXTRAS = (
    "huggingface_hub", "implicit", "matplotlib", "onnx", "onnxruntime", "peft", "safetensors", "scipy", "tokenizers", "torch",
    "transformers", "usearch",
)  # fmt: skip


def test_every_command_has_a_help_where_no_extra_is_installed() -> None:
    """Each file imports what it needs at its top, but of an extra only what it needs when it runs."""
    code = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({EXTRAS}))\n"  # None: the import fails
        "from typer.main import get_command\n"
        "from stream.cli.main import app\n"
        "groups = [get_command(app)]\n"
        "while groups:\n"
        "    group = groups.pop()\n"
        "    loaded = [group.load(name) for name in group.table]\n"
        "    groups += [each for each in loaded if hasattr(each, 'table')]\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        timeout=DEADLINE_S,
        check=False,
    )

    assert done.returncode == 0, done.stderr


# --- spellings of the release before


def test_a_report_has_its_old_name_for_one_release() -> None:
    old, new = penchant("report", "attribution", "--help"), penchant("report", "outcomes", "--help")

    assert old.stdout == new.stdout
    assert one_line(old).startswith("penchant: `penchant report attribution` is called `penchant report outcomes` now")
    assert new.stderr == ""
    assert "attribution" not in penchant("report", "--help").output


def test_the_judge_of_reasons_has_its_old_name_for_one_release() -> None:
    old, new = penchant("evaluate", "attribution", "--help"), penchant("evaluate", "reasons", "--help")

    assert old.stdout == new.stdout
    assert "is called `penchant evaluate reasons` now" in one_line(old)
    assert "attribution" not in penchant("evaluate", "--help").output


@pytest.mark.parametrize("arguments", [["events.csv", "--seed", "-1"], ["--seed", "-1", "events.csv"]])
def test_a_file_instead_of_a_command_is_judged_by_rankings_for_one_release(arguments: list[str]) -> None:
    old, new = penchant("evaluate", *arguments), penchant("evaluate", "rankings", *arguments)

    assert (old.exit_code, new.exit_code) == (2, 2)
    first, _, rest = old.stderr.partition("\n")
    assert first.startswith("penchant: `penchant evaluate EVENTS` is called `penchant evaluate rankings EVENTS` now")
    assert rest == new.stderr
    assert "--seed" in rest


def test_a_file_that_is_named_like_a_command_is_told_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "clicks").write_text("")

    assert penchant("evaluate", "clicks").stderr.count("Missing argument") == 1
    assert "clicks" in penchant("evaluate", "./clicks").stderr.splitlines()[-1]


def test_a_mistyped_command_is_told_what_is_near() -> None:
    result = penchant("wrker")

    assert result.exit_code == 2
    assert "Did you mean 'worker'" in " ".join(result.stderr.split())


# --- mistakes


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["worker", "--commit-interval-s", "0"], "--commit-interval-s"),
        (["worker", "--bootstrap-servers", "kafka"], "--bootstrap-servers"),
        (["topics", "create", "--partitions", "0"], "--partitions"),
        (["replay", "missing.csv"], "missing.csv"),
        (["items", "load", "missing.csv"], "missing.csv"),
        (["replay", "events.csv", "--speed", "fast"], "--speed"),
        (["replay", "events.csv", "--speed", "0"], "--speed"),
        (["replay", "events.csv", "--speed", "nan"], "--speed"),
        (["replay", "events.csv", "--map", "nonsense"], "nonsense"),
        (["items", "load", "events.csv", "--map", "item_id=a"], "title"),
    ],
)
def test_a_mistake_is_one_line_with_a_fix_and_exit_code_2(arguments: list[str], named: str, tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text(EVENTS_CSV)

    result = penchant(*arguments)

    assert result.exit_code == 2
    line = one_line(result)
    assert named in line
    assert "Fix: " in line
    assert result.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["bogus"],
        ["replay"],
        ["watch", "--limit", "0"],
        ["watch", "--lang", "fr"],
        ["worker", "--nonsense"],
        ["demo", "--seconds", "0"],
    ],
)
def test_a_line_that_cannot_be_parsed_is_exit_code_2_without_a_traceback(arguments: list[str]) -> None:
    result = penchant(*arguments)

    assert result.exit_code == 2
    assert "Usage: " in result.stderr
    assert "Traceback" not in result.output


def test_a_bad_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENCHANT_PARTITIONS", "many")

    result = penchant("topics", "list")

    assert result.exit_code == 2
    assert "PENCHANT_PARTITIONS" in one_line(result)


def test_a_file_that_is_not_toml_is_named(tmp_path: Path) -> None:
    (tmp_path / "penchant.toml").write_text("bootstrap_servers = nonsense")

    result = penchant("worker")

    assert result.exit_code == 2
    assert "penchant.toml" in one_line(result)


def test_an_error_of_several_lines_is_shown_on_one(broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(settings: Settings) -> None:
        raise InvariantError("this went\nwrong")

    monkeypatch.setattr("stream.cli.worker.run_worker", fail)

    result = penchant("worker")

    assert result.exit_code == 1
    assert one_line(result) == "penchant: this went wrong"


def test_ctrl_c_in_any_command_is_exit_code_130_without_a_word(
    broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def press(settings: Settings) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("stream.cli.worker.run_worker", press)

    result = penchant("worker")

    assert result.exit_code == 130
    assert result.output == ""


def test_a_flag_wins_over_the_environment_and_the_environment_over_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "penchant.toml").write_text('bootstrap_servers = "127.0.0.1:2"')
    assert "at 127.0.0.1:2 within" in one_line(penchant("topics", "list"))

    monkeypatch.setenv("PENCHANT_BOOTSTRAP_SERVERS", "127.0.0.1:3")
    assert "at 127.0.0.1:3 within" in one_line(penchant("topics", "list"))

    assert "at 127.0.0.1:4 within" in one_line(penchant("topics", "list", "--bootstrap-servers", "127.0.0.1:4"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["worker"],
        ["watch"],
        ["topics", "create"],
        ["topics", "list"],
        ["dead-letter", "list"],
        ["replay", "events.csv"],
        ["items", "load", "items.csv", "--map", "item_id=SKU,title=Name"],
    ],
)
def test_without_a_broker_every_command_says_so_in_one_line_within_the_deadline(
    arguments: list[str], tmp_path: Path
) -> None:
    (tmp_path / "events.csv").write_text(EVENTS_CSV)
    (tmp_path / "items.csv").write_text(ITEMS_CSV)
    started = time.monotonic()
    process = start(*arguments, "--bootstrap-servers", NOBODY)

    stdout, stderr = process.communicate(timeout=DEADLINE_S)

    assert process.returncode == 2
    assert stdout == ""
    assert len(stderr.splitlines()) == 1, stderr
    assert stderr.startswith(f"penchant: no Kafka broker answers at {NOBODY} within 0.3 s (connection refused). Fix: ")
    assert time.monotonic() - started < 30


# --- files into topics


def test_replay_delivers_the_good_rows_and_reports_the_others(broker: EmbeddedBroker, tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text(EVENTS_CSV)

    result = penchant("replay", "events.csv")

    assert result.exit_code == 0, result.output
    delivered = consume(broker, "interest.events")
    assert sorted(key for key, _ in delivered) == [b"u1", b"u2", b"u3"]
    assert all(msgspec.json.decode(value)["user_id"].encode() == key for key, value in delivered)
    lines = result.stdout.splitlines()
    assert lines[0].startswith("3 events of events.csv delivered to interest.events in ")
    assert lines[0].endswith("2 rejected.")
    title, headings, *rejected = lines[lines.index("Rejected, not sent") :]
    assert (title, headings) == ("Rejected, not sent", "reason\trows\tsuch as line\tfor example")
    assert sorted(line.split("\t")[:3] for line in rejected) == [["no_item", "1", "5"], ["schema", "1", "3"]]
    assert "\x1b" not in result.output


def test_replay_takes_a_mapping_a_zone_a_format_and_a_speed(broker: EmbeddedBroker, tmp_path: Path) -> None:
    (tmp_path / "sales.txt").write_text("Customer,x\n17850.0,2024-07-01 12:00\n")

    result = penchant(
        *("replay", "sales.txt", "--format", "csv", "--timezone", "Europe/London", "--speed", "3600"),
        *("--map", "user_id=Customer:int,item_id=:tea,action=:purchase,event_time=x"),
    )

    assert result.exit_code == 0, result.output
    [(key, value)] = consume(broker, "interest.events")
    assert key == b"17850"
    assert msgspec.json.decode(value) == {
        "user_id": "17850",
        "action": "purchase",
        "item_id": "tea",
        "event_time": 1719831600000,
    }


def test_items_load_delivers_the_catalogue_and_reports_what_has_no_title(
    broker: EmbeddedBroker, tmp_path: Path
) -> None:
    (tmp_path / "items.csv").write_text(ITEMS_CSV)

    result = penchant("items", "load", "items.csv", "--map", "item_id=SKU,title=Name")

    assert result.exit_code == 0, result.output
    assert sorted(key for key, _ in consume(broker, "interest.items")) == [b"i1", b"i3"]
    assert "2 items of items.csv delivered to interest.items" in result.stdout
    assert "schema\t1\t3\t" in result.stdout


def test_a_file_without_one_good_row_is_exit_code_2_after_the_report(broker: EmbeddedBroker, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("user_id,action,item_id\nu1,stare,i1\n")

    result = penchant("replay", "bad.csv")

    assert result.exit_code == 2
    assert "schema\t1\t2\t" in result.stdout
    assert "bad.csv holds nothing that could be sent" in one_line(result)
    assert consume(broker, "interest.events") == []


def test_a_file_that_is_not_what_its_name_says_sends_nothing(broker: EmbeddedBroker, tmp_path: Path) -> None:
    (tmp_path / "events.parquet").write_text("no parquet")

    result = penchant("replay", "events.parquet")

    assert result.exit_code == 2
    assert "events.parquet" in one_line(result)


# --- what a terminal shows


def on_terminal(width: int = 80) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width)


def shown_on(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console.file.getvalue())


def test_the_bar_tells_the_name_the_percentage_the_records_and_the_rate_in_80_columns() -> None:
    console = on_terminal()

    with FileProgress(console, Path("a-file-with-a-rather-long-name.csv.gz"), 1000) as progress:
        progress.update(12_345, 6, 500)

    last = shown_on(console).rstrip().splitlines()[-1]
    assert len(last) <= 80
    assert last.startswith("a-file-with-a-rather-lo…")
    assert " 50% 12,345 sent " in last
    assert "/s " in last


def test_without_a_terminal_progress_is_a_plain_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.cli.progress.PLAIN_EVERY_S", 0.0)
    console = Console(file=io.StringIO())

    with FileProgress(console, Path("x.csv"), 1000) as progress:
        progress.update(12_345, 6, 500)

    assert console.file.getvalue() == "x.csv: 50% read, 12,345 sent, 6 rejected\n"


def test_a_table_keeps_its_title_and_headings_where_there_is_no_terminal() -> None:
    console = Console(file=io.StringIO())

    show_table(console, ("what", "found"), [[Cell("a"), Cell("1")]], title="All of it")
    show_table(console, (), [[Cell("b")]])

    assert console.file.getvalue() == "All of it\nwhat\tfound\na\t1\nb\n"


def test_markup_in_a_table_or_a_line_is_shown_as_it_is() -> None:
    console = on_terminal()

    show_table(console, ("a [b]",), [[Cell("[red]x[/nope]", "warn")], [Cell("[dim]y[/]")]])
    say(console, "[bold]z[/nope]", "dim")

    assert all(text in shown_on(console) for text in ("a [b]", "[red]x[/nope]", "[dim]y[/]", "[bold]z[/nope]"))


# --- topics


def test_topics_list_shows_what_is_there_and_what_is_missing(
    embedded: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENCHANT_CONNECT_TIMEOUT_S", "2")
    broker = embedded({"interest.events": 3})

    result = penchant("topics", "list", "--bootstrap-servers", broker.bootstrap_servers, "--group-id", "g")

    assert result.exit_code == 0, result.output
    rows = {line.split("\t")[0]: line.split("\t")[1:3] for line in result.stdout.splitlines()}
    assert rows["interest.events"] == ["3", "1"]
    assert rows["interest.items"] == ["missing", "–"]
    assert "g-interest-changelog" in rows
    assert "penchant topics create" in result.stderr


@pytest.mark.parametrize("command", [["topics", "list"], ["doctor"]])
def test_a_kafka_without_our_topics_is_a_finding_with_its_fix(
    command: list[str], embedded: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENCHANT_CONNECT_TIMEOUT_S", "2")
    monkeypatch.setenv("PENCHANT_ENCODER_MODEL", "none")

    result = penchant(*command, "--bootstrap-servers", embedded({}).bootstrap_servers)

    assert result.exit_code == (1 if command == ["doctor"] else 0), result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "penchant topics create" in result.output
    assert "interest.events" in result.stdout


def test_topics_create_says_that_all_are_there(broker: EmbeddedBroker) -> None:
    result = penchant("topics", "create")

    assert result.exit_code == 0, result.output
    assert result.stdout == "all 11 topics are there already\n"


# --- how it ends


@pytest.mark.timeout(60)
def test_ctrl_c_ends_watching_with_a_count_and_exit_code_130(broker: EmbeddedBroker) -> None:
    process = start("watch")
    assert process.stderr is not None
    assert process.stderr.readline().startswith("Watching interest.recommendations")

    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=DEADLINE_S)

    assert process.returncode == 130
    assert stdout == ""
    assert stderr == "0 lists shown.\n"


@pytest.mark.timeout(60)
def test_a_closed_pipe_ends_quietly(broker: EmbeddedBroker) -> None:
    process = start("topics", "list")
    assert process.stdout is not None
    process.stdout.close()  # long before the program has started, let alone written

    process.wait(DEADLINE_S)

    assert process.stderr is not None
    stderr = process.stderr.read()
    process.stderr.close()
    assert "Traceback" not in stderr
    assert "BrokenPipe" not in stderr
    assert process.returncode in {0, 1}
