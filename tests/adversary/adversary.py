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
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from episode import HERE, Episode, Wrong
from hostile_moves import MOVES
from kafka_server import KafkaServer
from scene import ITEMS, Scene

MOVES_AN_EPISODE: Final = 8
MOVES_A_CHECK: Final = 4
GOOD_A_MOVE: Final = 60


class Script(NamedTuple):
    """What an episode does; the same script does the same again, up to what Kafka and the clock decide."""

    seed: int
    moves: tuple[str, ...]


def play(script: Script, kafka: KafkaServer, directory: Path) -> list[str]:
    """What was wrong; nothing, if all held."""
    rng, episode = random.Random(script.seed), Episode(kafka.bootstrap_servers, directory)
    scene = Scene(episode)
    try:
        for n in range(ITEMS):
            scene.item(f"i{n}")
        for n, name in enumerate(script.moves):
            scene.good_events(rng, GOOD_A_MOVE)
            MOVES[name](scene, rng)
            scene.good_events(rng, GOOD_A_MOVE)
            scene.flush()
            time.sleep(rng.random())
            episode.supervise()
            if n % MOVES_A_CHECK == MOVES_A_CHECK - 1 or n == len(script.moves) - 1:
                episode.check()
    except Wrong as wrong:
        return [*episode.exits, str(wrong)]
    except Exception:  # noqa: BLE001 - an hour of others must not be lost, and it can be made smaller, too
        return [*episode.exits, f"a move or a check failed: {traceback.format_exc()[-1500:]}"]
    finally:
        episode.close()
    return episode.exits


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
