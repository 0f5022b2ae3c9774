"""On Apache Kafka: two workers of release 0.1.0 under load, rolled one at a time to this one, count every event once."""

from __future__ import annotations

import io
import json
import random
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from contextlib import ExitStack, suppress
from itertools import count
from pathlib import Path

import pytest
from kafka_checks import catalogue, differences, last_events, last_lists
from kafka_server import KEPT_LIBS, KafkaServer
from places import ROOT
from worker_process import Topics, WorkerProcess

from stream.kafka.topics import create_topics
from stream.settings import Settings

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]

BEFORE = "5240e62"
"""Release 0.1.0."""

REFUSED = "this release reads up to 2"
"""What 0.1.0 says of statistics that this release has written."""

NEW_SETTINGS = frozenset({"topic_rules"})
"""That 0.1.0 does not know, and refuses."""

TIMEOUT_S = 400
USERS, ITEMS = 300, 60


@pytest.fixture(scope="module")
def before() -> Path:
    """The code of 0.1.0, kept with what it compiles, which takes it a minute."""
    directory = KEPT_LIBS / f"release-{BEFORE}"
    if directory.is_dir():
        return directory
    done = subprocess.run(["git", "archive", BEFORE], cwd=ROOT, capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"commit {BEFORE} is not in this checkout (fetch-depth: 0 has it): {done.stderr.decode().strip()}")
    KEPT_LIBS.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(dir=KEPT_LIBS))
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(unfinished, filter="data")
    with suppress(OSError):  # another run was first
        unfinished.rename(directory)
    return directory


class OldWorker(WorkerProcess):
    """A worker of 0.1.0 with this environment's libraries."""

    def __init__(self, settings: Settings, data_dir: Path, code: Path) -> None:
        super().__init__(settings, data_dir)
        self._code = code
        for name in NEW_SETTINGS:
            self._env.pop(f"PENCHANT_{name.upper()}", None)
        self._env["PYTHONPATH"] = str(code)

    def start(self) -> None:
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "stream", "worker"], cwd=self._code, env=self._env, stdout=log, stderr=log
            )


class Load:
    """Events, at the pace of a shop, until it is left."""

    def __init__(self, topics: Topics) -> None:
        self._topics, self._stop = topics, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        rng, number = random.Random(7), count()
        while not self._stop.wait(0.2):
            self._topics.produce(self._topics.settings.topic_events, [event(rng, next(number)) for _ in range(20)])


def event(rng: random.Random, number: int) -> tuple[bytes, bytes]:
    """One that both releases understand alike."""
    user = f"u{rng.randrange(USERS)}"
    record = {
        "user_id": user,
        "item_id": f"i{rng.randrange(ITEMS)}",
        "action": rng.choice(["view", "click", "cart", "purchase", "like"]),
        "event_time": 1_700_000_000_000 + number * 1000,
        "event_id": f"e{number}",
    }
    return user.encode(), json.dumps(record).encode()


@pytest.fixture
def topics(kafka: KafkaServer) -> Topics:
    # A busy machine is no reason to lose a partition: what is tested is the change of release.
    topics = Topics(kafka.bootstrap_servers, f"up-{time.time_ns():x}", session_timeout_s=45)
    create_topics(topics.settings)
    catalogue(topics, ITEMS)
    return topics


def committed(topics: Topics) -> int:
    return sum(topics.committed(topics.settings.topic_events).values())


def wait_for_more(topics: Topics, worker: WorkerProcess) -> None:
    reached = committed(topics)
    worker.wait_for("further commits", lambda: committed(topics) > reached + 100, TIMEOUT_S)


def check(topics: Topics) -> None:
    states, items = topics.reference()
    assert differences(states, topics.state()) == {}
    assert differences(items, topics.items()) == {}
    assert last_events(topics) == last_lists(topics)


def test_two_workers_of_release_0_1_are_rolled_to_this_one_under_load_and_back_it_is_refused(
    topics: Topics, before: Path, tmp_path: Path
) -> None:
    old = [OldWorker(topics.settings, tmp_path / name, before) for name in "ab"]
    new = [WorkerProcess(topics.settings, tmp_path / name) for name in "ab"]
    with ExitStack() as stack:
        stack.enter_context(Load(topics))
        stack.enter_context(old[0])
        wait_for_more(topics, old[0])
        stack.enter_context(old[1])  # which finds compiled what the first has compiled
        old[1].wait_for("it takes part", lambda: old[1].metrics().get("penchant_commits_total", 0) > 3, TIMEOUT_S)
        old[0].terminate()
        stack.enter_context(new[0])
        wait_for_more(topics, new[0])
        new[0].wait_for("it takes part", lambda: new[0].metrics().get("penchant_commits_total", 0) > 3, TIMEOUT_S)
        if old[1].process.poll() is None:
            old[1].terminate()
        # It ends by itself where it meets statistics of the new release, and has committed nothing of them.
        assert old[1].process.returncode == 0 or REFUSED in old[1].log
        stack.enter_context(new[1])
        new[1].wait_for("it takes part", lambda: new[1].metrics().get("penchant_commits_total", 0) > 3, TIMEOUT_S)
        wait_for_more(topics, new[1])
    with new[0]:
        new[0].wait_for("every event", topics.all_committed, TIMEOUT_S)
        new[0].wait_for("the item statistics", topics.deltas_committed, TIMEOUT_S)
        check(topics)
        new[0].terminate()

    states = topics.state()
    with old[0]:
        assert old[0].process.wait(TIMEOUT_S) == 1
        assert REFUSED in old[0].log
    assert topics.state() == states
