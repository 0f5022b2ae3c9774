"""The adversary: hostile but possible input on Apache Kafka, mixed with that of good users, whose states, lists and reasons
must be right all the time, and no worker may end by itself.

    make adversary MINUTES=5 SEED=1
    make adversary SCRIPT=.adversary/failure.json

Runs episodes of some moves (`hostile_moves`) each, on fresh topics. What fails is made smaller: moves are left out as long as
it still fails, and what is left is written as a script. One line of JSON last. Exit code 0: everything held; 1: something
did not.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from hashlib import blake2b
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from hostile_moves import ITEMS, MOVES, Scene, good_events
from kafka_checks import differences
from kafka_server import KafkaServer, free_ports
from worker_process import Topics, WorkerProcess

from models.reasons.contributions import COMPLETENESS_GAP_MAX
from stream.kafka.log_ends import LogEnds
from stream.kafka.topics import create_topics
from stream.state.record import States
from stream.wire.reasons import Reasons
from stream.wire.records import read_attribution, recommendation_decoder

MOVES_AN_EPISODE: Final = 8
GOOD_A_MOVE: Final = 60
SETTLE_S: Final = 120.0
SUSPENDED_S: Final = 4.0
LOST: Final = re.compile(r"claimed by another worker|not this worker's to write|no longer a member|written by another")
"""How a worker ends that was suspended until its partitions were another's, or its own next life's: it has to."""

DIMS: Final = 16
HERE: Final = Path(".adversary")
_names = count()


class Script(NamedTuple):
    """What an episode does; the same script does the same again, up to what Kafka and the clock decide."""

    seed: int
    moves: tuple[str, ...]


class _Embeddings(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        texts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["input"]
        vectors = [[b - 127.5 for b in blake2b(t.encode(errors="replace"), digest_size=DIMS).digest()] for t in texts]
        body = json.dumps({"data": [{"embedding": v, "index": i} for i, v in enumerate(vectors)]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


class Steps:
    """What a move may do to a worker and to what it needs."""

    def __init__(self, worker: WorkerProcess, port: int) -> None:
        self.worker, self._port = worker, port
        self.exits: list[str] = []
        self._service: ThreadingHTTPServer | None = None
        self.service_back()

    def service_away(self) -> None:
        if self._service is not None:
            self._service.shutdown()
            self._service.server_close()
            self._service = None

    def service_back(self) -> None:
        if self._service is None:
            ThreadingHTTPServer.allow_reuse_address = True
            self._service = ThreadingHTTPServer(("127.0.0.1", self._port), _Embeddings)
            threading.Thread(target=self._service.serve_forever, daemon=True).start()

    def kill(self) -> None:
        self.supervise()
        self.worker.kill()
        self.worker.start()

    def restart(self) -> None:
        self.supervise()
        self.worker.terminate()
        if self.worker.process.returncode not in (0, -signal.SIGTERM):  # the latter: before it had begun
            self._note()
        self.worker.start()

    def suspend(self) -> None:
        self.supervise()
        self.worker.process.send_signal(signal.SIGSTOP)
        time.sleep(SUSPENDED_S)
        self.worker.process.send_signal(signal.SIGCONT)

    def supervise(self) -> None:
        """Start a worker that ended; it should not have."""
        if self.worker.process.poll() is not None:
            self._note()
            self.worker.start()

    def _note(self) -> None:
        last = next((line for line in reversed(self.worker.log.splitlines()) if line.startswith("penchant: ")), "?")
        if not LOST.search(last):
            HERE.mkdir(exist_ok=True)
            (HERE / "worker.log").write_text(self.worker.log[-20_000:])
            self.exits.append(f"exit code {self.worker.process.returncode}: {last[:300]} (see {HERE / 'worker.log'})")


def play(script: Script, kafka: KafkaServer, directory: Path) -> list[str]:
    """What was wrong; nothing, if all held."""
    topics = Topics(kafka.bootstrap_servers, f"adv{next(_names)}-{time.time_ns():x}", commit_interval_s=0.3)
    create_topics(topics.settings)
    rng, port = random.Random(script.seed), free_ports(1)[0]
    remote = {
        "encoder_model": "m",
        "encoder_remote_url": f"http://127.0.0.1:{port}/v1",
        "fetch_buffer_max_bytes": 32 << 20,
    }
    worker = WorkerProcess(topics.settings, directory / f"w{script.seed}-{time.time_ns():x}", **remote)
    with ExitStack() as stack:
        steps = Steps(worker, port)
        stack.callback(steps.service_away)
        stack.enter_context(worker)
        scene = Scene(topics.settings, topics.producer, steps)
        for n in range(ITEMS // 2):
            scene.item(f"i{n}")
        for name in script.moves:
            for user, fields in good_events(rng, GOOD_A_MOVE):
                scene.event(user, **fields)
            MOVES[name](scene, rng)
            for user, fields in good_events(rng, GOOD_A_MOVE):
                scene.event(user, **fields)
            topics.producer.flush(60)
            time.sleep(rng.random())
            steps.supervise()
        problem = _settle(topics, steps)
        return steps.exits + ([problem] if problem else _problems(topics, worker))


def _settle(topics: Topics, steps: Steps) -> str | None:
    deadline = time.monotonic() + SETTLE_S
    while _has_open_transactions(topics) or not topics.all_committed():
        steps.supervise()
        if steps.exits:
            return "it ended by itself"
        if time.monotonic() > deadline:
            return f"not everything was committed within {SETTLE_S:g} s: {steps.worker.log[-1500:]}"
        time.sleep(0.2)
    return None


def _has_open_transactions(topics: Topics) -> bool:
    """Somebody's producer has not ended one: what lies behind its beginning can be read by nobody yet."""
    very, readable = LogEnds(topics.settings), LogEnds(topics.settings, readable=True)
    try:
        tps = [(topics.settings.topic_events, p) for p in topics.ends(topics.settings.topic_events)]
        return very.bounds_of(tps) != readable.bounds_of(tps)
    finally:
        very.close()
        readable.close()


def _problems(topics: Topics, worker: WorkerProcess) -> list[str]:
    found = []
    wrong = differences(topics.reference()[0], topics.state())
    if wrong:
        some = "; ".join(
            f"{user.decode()} {_told(expected)} / {_told(got)}" for user, (expected, got) in sorted(wrong.items())[:8]
        )
        found.append(f"states of {len(wrong)} users differ, as they should be / are: {some}")
    lists = {}
    for message in topics.read(topics.settings.topic_recommendations):
        if message.value() is not None:
            made = recommendation_decoder.decode(message.value())
            lists[made.user_id] = made
    found += [f"{user} has no list" for user in sorted({f"good-{n}" for n in range(30)} - lists.keys())][:3]
    found += [
        f"a score of {u} is no number" for u, m in lists.items() if not all(math.isfinite(i.score) for i in m.items)
    ][:3]
    for message in topics.read(topics.settings.topic_attributions):
        record = read_attribution(message.value())
        if isinstance(record, Reasons) and not record.gap <= COMPLETENESS_GAP_MAX:
            found.append(f"reasons of {record.user_id} are {record.gap} apart from the scores")
    quarantined = {k: v for k, v in worker.metrics().items() if k.startswith("penchant_quarantined_total") and v}
    if quarantined:
        found.append(f"somebody was quarantined: {quarantined}")
    return found


def _told(state: bytes | None) -> str:
    """What of a packed state says where it differs."""
    if state is None:
        return "none"
    states = States(1)
    states.unpack(np.zeros(1, np.int64), [state])
    return f"{states.events[0]} events up to offset {states.fence[0]}"


def shrink(script: Script, kafka: KafkaServer, directory: Path, until: float) -> Script:
    """Fewer moves that still fail, by leaving out halves, quarters and single ones, until that time."""
    moves, size = script.moves, max(1, len(script.moves) // 2)
    while size and time.monotonic() < until:
        for at in range(0, len(moves), size):
            fewer = moves[:at] + moves[at + size :]
            if fewer and time.monotonic() < until and play(script._replace(moves=fewer), kafka, directory):
                moves = fewer
                break
        else:
            size //= 2
    return script._replace(moves=moves)


def scripts(seed: int) -> Sequence[Script]:
    """More than anybody plays: every move once before any comes again."""
    rng, left = random.Random(seed), list[str]()
    made: list[Script] = []
    for n in range(10_000):
        chosen: list[str] = []
        while len(chosen) < MOVES_AN_EPISODE:
            if not left:
                left = rng.sample(sorted(MOVES), len(MOVES))
            chosen.append(left.pop())
        made.append(Script(seed * 10_000 + n, tuple(chosen)))
    return made


def main(arguments: Sequence[str]) -> int:
    """Run it; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--script", type=Path, help="a failure that was written")
    options = parser.parse_args(arguments)
    given = [Script(**json.loads(options.script.read_text()))] if options.script else scripts(options.seed)
    started, played, moves = time.monotonic(), 0, 0
    with tempfile.TemporaryDirectory(prefix="adversary-") as temporary:
        kafka = KafkaServer(Path(temporary) / "kafka")
        kafka.start()
        try:
            for script in given:
                if played and time.monotonic() - started > 60 * options.minutes:
                    break
                problems = play(script, kafka, Path(temporary))
                played, moves = played + 1, moves + len(script.moves)
                said = "held" if not problems else "; ".join(problems)
                print(
                    f"{time.monotonic() - started:5.0f} s  seed {script.seed}: {', '.join(script.moves)}: {said}",
                    flush=True,
                )
                if problems:
                    smaller = shrink(script, kafka, Path(temporary), time.monotonic() + 600)
                    HERE.mkdir(exist_ok=True)
                    (HERE / "failure.json").write_text(json.dumps(smaller._asdict()))
                    print(f"fails with {', '.join(smaller.moves)}: make adversary SCRIPT={HERE / 'failure.json'}")
                    print(json.dumps({"episodes": played, "moves": moves, "problems": problems}))
                    return 1
        finally:
            kafka.stop()
    print(
        json.dumps({"episodes": played, "moves": moves, "problems": [], "minutes": (time.monotonic() - started) / 60})
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
