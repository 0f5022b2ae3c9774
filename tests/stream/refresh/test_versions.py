"""stream/refresh/versions.py and `penchant models`: versions reach every worker, and there is a way back"""

from __future__ import annotations

from itertools import permutations

import msgspec
import pytest
from typer.testing import CliRunner

from models.ranking.weights import default_weights, named, to_json
from stream.cli.main import app
from stream.errors import CorruptStateError, UsageError
from stream.refresh.versions import (
    ModelsTopic,
    SequenceVersion,
    decode_model,
    publish_model,
    ranker_model,
    read_versions,
    roll_back,
    weights_of,
)
from stream.settings import Settings

ONE, TWO = named({"always": {"co_fast": 1.0}}, {}), named({"always": {"co_fast": 2.0}}, {})


@pytest.fixture
def settings(embedded):
    broker = embedded({"interest.models": 3})
    return Settings(bootstrap_servers=broker.bootstrap_servers, connect_timeout_s=20)


def test_the_newest_version_is_current_and_the_others_stay(settings):
    assert read_versions(settings)["ranker"].current is None
    for n, weights in enumerate((ONE, TWO)):
        publish_model(settings, ranker_model(weights, 1000 + n, trained_until=5, metrics={"ndcg@10": 0.5}))
    publish_model(settings, SequenceVersion("s1", 7, "/models/s1", "aa"))
    versions = read_versions(settings)
    assert [model.version for model in versions["ranker"].known] == [ONE.version, TWO.version]
    assert versions["ranker"].current.version == TWO.version
    assert weights_of(versions["ranker"].current).table.tolist() == TWO.table.tolist()
    assert versions["sequence"].current.directory == "/models/s1"


def test_going_back_is_one_command_and_going_back_from_the_first_is_refused(settings):
    for n, weights in enumerate((ONE, TWO)):
        publish_model(settings, ranker_model(weights, 1000 + n))
    assert roll_back(settings, "ranker").version == ONE.version
    assert read_versions(settings)["ranker"].current.version == ONE.version
    assert len(read_versions(settings)["ranker"].known) == 2
    with pytest.raises(UsageError, match="no ranker older"):
        roll_back(settings, "ranker")


def test_the_command_publishes_lists_and_goes_back(settings, tmp_path):
    runner = CliRunner(env={"PENCHANT_BOOTSTRAP_SERVERS": settings.bootstrap_servers})
    for name, weights in (("one", ONE), ("two", TWO)):
        (tmp_path / name).write_bytes(to_json(weights))
        result = runner.invoke(app, ["models", "publish", str(tmp_path / name)])
        assert (result.exit_code, result.output) == (0, f"published ranker {weights.version}\n")
    listed = runner.invoke(app, ["models", "list", "--json"])
    assert listed.exit_code == 0, listed.output
    records = [msgspec.json.decode(line) for line in listed.stdout.splitlines()]
    assert [(r["version"], r["current"]) for r in records] == [(ONE.version, False), (TWO.version, True)]
    assert runner.invoke(app, ["models", "rollback", "ranker"]).output == f"now current: ranker {ONE.version}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["publish", "nothing.json"], "does not exist"),
        (["publish", "junk.json"], "ranking weights"),
        (["rollback", "everything"], "neither ranker nor sequence"),
    ],
)
def test_what_a_person_can_mend_is_one_line_and_exit_code_2(arguments, said, tmp_path, monkeypatch, embedded):
    broker = embedded({"interest.models": 1})
    monkeypatch.chdir(tmp_path)
    (tmp_path / "junk.json").write_text("{}")
    result = CliRunner(env={"PENCHANT_BOOTSTRAP_SERVERS": broker.bootstrap_servers}).invoke(app, ["models", *arguments])
    assert result.exit_code == 2
    assert said in result.output
    assert len(result.output.splitlines()) == 1


def encoded(weights, created_at=1):
    return msgspec.json.encode(ranker_model(weights, created_at))


GOOD = encoded(default_weights())
OF_A_LATER_RELEASE = GOOD.replace(b"co_fast", b"co_slim")


@pytest.mark.parametrize("wrong", [b"", b"{}", b"\xff", OF_A_LATER_RELEASE, GOOD.replace(b'"ranker"', b'"magic"')])
def test_a_record_that_this_release_cannot_use_is_refused_and_the_last_usable_one_serves(wrong):
    assert decode_model(GOOD).version == default_weights().version
    with pytest.raises(CorruptStateError):
        decode_model(wrong)
    topic = ModelsTopic()
    assert topic.add(b"ranker", GOOD) == "ranker"
    assert topic.add(b"ranker", wrong) is None
    assert topic.current["ranker"].version == default_weights().version
    assert len(topic.refused) == 1
    assert topic.add(b"ranker", encoded(ONE)) == "ranker", "going back on the topic helps"
    assert topic.add(b"ranker", wrong) is None
    assert topic.current["ranker"].version == ONE.version


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_worker_that_reads_only_what_compaction_left_finds_the_newest_usable_version(order):
    records = [(b"ranker/one", encoded(ONE, 1)), (b"ranker/two", encoded(TWO, 2)), (b"ranker", OF_A_LATER_RELEASE)]
    topic = ModelsTopic()
    for n in order:
        topic.add(*records[n])
    assert topic.current["ranker"].version == TWO.version


def test_the_last_record_of_a_key_counts_and_null_withdraws():
    def current(*records):
        topic = ModelsTopic()
        for key, value in records:
            topic.add(key, value)
        return topic.current

    one, two = encoded(ONE), encoded(TWO)
    assert current((b"ranker", one), (b"ranker/x", two))["ranker"].version == ONE.version
    assert current((b"ranker", one), (b"ranker", None)) == {"ranker": None}
    assert current((b"other", one), (None, two), (b"\xff", two)) == {}
