"""The programs in deploy/examples do what they say, on a broker and a worker, and end with the exit codes that they name."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from worker_process import ROOT, WorkerProcess, read_topic

from stream.kafka.embedded import EmbeddedBroker
from stream.kafka.specs import topic_specs
from stream.settings import load_settings

EXAMPLES = ROOT / "deploy" / "examples"
NOBODY = "127.0.0.1:1"
TIMEOUT_S = 120
CATALOGUE = """\
item_id,title,price,categories,available
cup,Tea cup,4.50,kitchen;tea,yes
pot,Tea pot,12,kitchen;tea,yes
tray,Oak tray,20,,yes
"""


def run(program: str, *arguments: object, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(EXAMPLES / program), *map(str, arguments)],
        input=given,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def events(*who_what: tuple[str, str]) -> str:
    return "".join(
        json.dumps({"user_id": user, "item_id": item, "action": "purchase"}) + "\n" for user, item in who_what
    )


@pytest.fixture
def broker(embedded: Callable[[Mapping[str, int]], EmbeddedBroker]) -> str:
    return embedded({spec.name: 2 for spec in topic_specs(load_settings())}).bootstrap_servers


def test_a_catalogue_and_events_go_in_and_the_lists_come_out(broker: str, tmp_path: Path) -> None:
    catalogue = tmp_path / "catalogue.csv"
    catalogue.write_text(CATALOGUE, encoding="utf-8")
    settings = load_settings(bootstrap_servers=broker, data_dir=tmp_path / "unused")
    with WorkerProcess(settings, tmp_path / "w") as worker:
        worker.wait_for("the worker to be up", lambda: bool(worker.metrics()))
        loaded = run("load_catalogue.py", catalogue, "--brokers", broker)
        sent = run("send_events.py", "--brokers", broker, given=events(("ann", "cup"), ("ann", "pot"), ("bob", "cup")))
        read = run("read_lists.py", "--brokers", broker, "--lists", 2, "--wait", 60)

    assert (loaded.returncode, loaded.stderr) == (0, "3 of 3 records sent\n")
    assert (sent.returncode, sent.stderr) == (0, "")
    assert read.returncode == 0, read.stderr
    lists = dict(line.split(": ", 1) for line in read.stdout.splitlines())
    assert "tray" in lists["ann"]
    assert "cup" not in lists["ann"], "she has bought it"


def test_a_removed_item_is_a_record_without_a_value(broker: str, tmp_path: Path) -> None:
    catalogue, gone = tmp_path / "catalogue.csv", tmp_path / "gone.txt"
    catalogue.write_text(CATALOGUE, encoding="utf-8")
    gone.write_text("saucer\n", encoding="utf-8")

    done = run("load_catalogue.py", catalogue, "--removed", gone, "--brokers", broker)

    assert done.returncode == 0, done.stderr
    values = {message.key(): message.value() for message in read_topic(broker, "interest.items")}
    assert set(values) == {b"cup", b"pot", b"tray", b"saucer"}
    assert values[b"saucer"] is None
    assert json.loads(values[b"cup"] or b"")["categories"] == ["kitchen", "tea"]


@pytest.mark.parametrize("row", ["pot,", ",Tea pot", "pot,Tea pot,dear"])
def test_a_row_that_is_no_item_is_named_and_nothing_is_sent(row: str, tmp_path: Path) -> None:
    catalogue = tmp_path / "catalogue.csv"
    catalogue.write_text(f"item_id,title,price\ncup,Tea cup,1\n{row}\n", encoding="utf-8")

    done = run("load_catalogue.py", catalogue, "--brokers", NOBODY)

    assert done.returncode == 2
    assert "line 3" in done.stderr


@pytest.mark.parametrize("line", ["not JSON", "[]", '{"item_id": "cup"}'])
def test_a_line_that_is_no_event_is_named_and_ends_the_sending(line: str, broker: str) -> None:
    done = run("send_events.py", "--brokers", broker, given=f"{events(('ann', 'cup'))}{line}\n{events(('bob', 'cup'))}")

    assert done.returncode == 2
    assert "line 2 is no event" in done.stderr
    assert [message.key() for message in read_topic(broker, "interest.events")] == [b"ann"]


def test_a_reader_that_gets_nothing_says_so(broker: str) -> None:
    done = run("read_lists.py", "--brokers", broker, "--wait", 1)

    assert (done.returncode, done.stdout) == (1, "")
    assert "no list within 1 s" in done.stderr


@pytest.mark.parametrize("program", ["send_events.py", "load_catalogue.py"])
def test_what_no_broker_took_is_counted_and_the_exit_code_is_1(program: str, tmp_path: Path) -> None:
    catalogue = tmp_path / "catalogue.csv"
    catalogue.write_text(CATALOGUE, encoding="utf-8")
    source = (EXAMPLES / program).read_text(encoding="utf-8").replace("WAIT_S = 30.0", "WAIT_S = 1.0")
    arguments = [str(catalogue)] if program == "load_catalogue.py" else []
    done = subprocess.run(
        [sys.executable, "-c", source, *arguments, "--brokers", NOBODY],
        input=events(("ann", "cup")),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )

    assert done.returncode == 1
    assert "not delivered" in done.stderr


def test_a_list_that_is_older_than_the_one_before_it_is_no_news() -> None:
    source = (EXAMPLES / "read_lists.py").read_text(encoding="utf-8")
    namespace: dict[str, object] = {"__name__": "read_lists"}
    exec(compile(source, "read_lists.py", "exec"), namespace)
    lists = namespace["Lists"]()  # type: ignore[operator]

    def answer(partition: int, offset: int) -> dict[str, object]:
        return {"user_id": "ann", "source": {"topic": "interest.events", "partition": partition, "offset": offset}}

    assert [lists.is_news(answer(0, offset)) for offset in (5, 4, 5, 6)] == [True, False, True, True]
    assert lists.is_news(answer(1, 1)), "another partition has other offsets"
    lists.forget("ann")
    assert lists.is_news(answer(1, 0))
