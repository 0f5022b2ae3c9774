"""What federated training is worth beside pooled and local-only training, and what it sends.

    python -m benchmarks.federated weights|sequence films|retail SOURCE [--people 1200] [--liar] [--json FILE]

SOURCE is the folder of ml-latest-small (films) or of the UCI file "Online Retail" (retail). Shops are made of it: of films by
the kind of film that a person likes more than others do, so tastes differ between them; of retail by country, that of most
customers parted by their ids. `weights`: ranking weights; needs the extra `federated`. `sequence`: the sequence model, smaller
than a shop would train it (`SMALL`), over the items that most people had; needs `train` too.

All contenders answer the same questions, of each shop's newest engagements. `pooled` learns from what all shops have together,
`local` each from its own, `federated` by averaging. Weights learn from choices that each shop's own statistics make, also when
these choices are pooled: what differs is where weights are learned, and nothing else. Without text.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from benchmarks.retail_events import usable_events
from models.arrays import F8
from models.evaluation.bootstrap import Part, Resamples
from models.learning.choices import Choices
from models.learning.weight_fit import learn
from models.ranking.weights import default_weights
from stream.analysis.data import read_data
from stream.analysis.federated.aggregation import HOWS
from stream.analysis.federated.grid import Client, local_grid
from stream.analysis.federated.learning import learn_together
from stream.analysis.federated.run import FederationOptions, federate_here
from stream.analysis.federated.weights import ClientOptions, WeightsClient
from stream.files.mapping import parse_mapping
from stream.params import decode_limits
from stream.settings import load_settings

SETS: Final = ("films", "retail")
KINDS: Final[dict[str, int]] = {
    "Action": 0, "Adventure": 0, "Sci-Fi": 0, "Comedy": 1, "Romance": 1, "Drama": 2, "Thriller": 3, "Horror": 3,
}  # fmt: skip
"""Of films: which shop people who like them go to."""

SMALL: Final[dict[str, Any]] = {"layers": 1, "dims": 32, "hidden": 64, "length": 50, "batch": 8, "learning_rate": 2e-3}
ITEMS_MAX, PEOPLE_MAX = 1_500, 1_200
PATIENCE: Final = 6


def films(source: Path) -> pl.DataFrame:
    """Columns user_id, item_id, time_s, shop."""
    movies, ratings = pl.read_csv(source / "movies.csv"), pl.read_csv(source / "ratings.csv")
    kinds = movies.select("movieId", kind=pl.col("genres").str.split("|")).explode("kind")
    liked = ratings.join(kinds, on="movieId").filter(pl.col("kind").is_in(list(KINDS)))
    of_all = liked.group_by("kind").len("all")
    share = liked.group_by("userId", "kind").len().join(of_all, on="kind")
    share = share.with_columns(lift=pl.col("len") / pl.col("len").sum().over("userId") / pl.col("all"))
    best = share.sort("lift", "kind", descending=True).group_by("userId", maintain_order=True).first()
    shops = best.select("userId", shop=pl.col("kind").replace_strict(KINDS))
    return ratings.join(shops, on="userId").select(
        user_id=pl.col("userId").cast(pl.String),
        item_id=pl.col("movieId").cast(pl.String),
        time_s="timestamp",
        shop="shop",
    )


def retail(source: Path) -> pl.DataFrame:
    """The same of purchases: three shops of the country of most customers, one of all others."""
    raw = pl.read_csv(source / "online_retail.csv.zst", infer_schema=False)
    home = raw.select("CustomerID", "Country").unique("CustomerID", keep="first", maintain_order=True).select(
        user_id=pl.col("CustomerID").str.strip_suffix(".0"), country="Country"
    )  # fmt: skip
    events = usable_events(raw).join(home, on="user_id")
    most = events.group_by("country").agg(pl.col("user_id").n_unique()).sort("user_id", descending=True)["country"][0]
    third = pl.col("user_id").cast(pl.Int64) % 3
    time_s = pl.col("event_time").str.to_datetime(time_zone="UTC").dt.epoch("s")
    return events.select(
        "user_id", "item_id", time_s=time_s, shop=pl.when(pl.col("country") == most).then(third).otherwise(3)
    )


def shops_of(name: str, source: Path, people_max: int) -> list[pl.DataFrame]:
    """By shop, in the order of time; of more people than that every n-th by id."""
    events = films(source) if name == "films" else retail(source)
    people = events["user_id"].unique().sort()
    kept = people.gather_every(max(1, -(-len(people) // people_max)))
    events = events.filter(pl.col("user_id").is_in(kept.implode())).sort("time_s", maintain_order=True)
    return [events.filter(pl.col("shop") == shop) for shop in sorted(events["shop"].unique().to_list())]


# --- ranking weights


class Liar:
    """Learns as a shop does, sends a hundred times the opposite, and says that it has a thousand million choices."""

    def __init__(self, honest: WeightsClient) -> None:
        self._honest = honest

    def train(self, given: Mapping[str, F8], config: Mapping[str, Any]) -> tuple[dict[str, F8], int]:
        """A round."""
        learned, _ = self._honest.train(given, config)
        return {name: given[name] - 100.0 * (value - given[name]) for name, value in learned.items()}, 10**9


def weights(
    shops: Sequence[pl.DataFrame], choices: int, questions: int, rounds: int, *, with_liar: bool
) -> dict[str, Any]:
    """Built-in, local, federated and pooled weights; `with_liar` also of federations with one client more, which lies."""
    settings = load_settings(encoder_model="none")
    clients: dict[str, WeightsClient] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, events in enumerate(shops):
            path = Path(folder) / f"shop-{number}.csv"
            events.select("user_id", "item_id", action=pl.lit("click"), event_time="time_s").write_csv(path)
            data = read_data(
                path, parse_mapping(""), None, parse_mapping("", "item"), strengths=settings.strengths(),
                limits=decode_limits(settings), now_ms=time.time_ns() // 1_000_000,
                reading={"timezone": "UTC", "time_unit": "auto", "time_pattern": None},
            )  # fmt: skip
            clients[path.stem] = WeightsClient(settings, data, ClientOptions(choices, questions))
            _say(f"{path.stem}: {len(clients[path.stem].choices.real)} choices")
    began = time.perf_counter()
    learned = learn_together(local_grid(clients), FederationOptions(rounds=rounds, clients_min=len(clients)))
    took_s = time.perf_counter() - began
    _say(f"federated: {', '.join(learned.parts)}")
    pooled = learn(together([client.choices for client in clients.values()]), default_weights())
    contenders = {"built-in": default_weights(), "federated": learned.weights, "pooled": pooled}
    if with_liar:
        liar: dict[str, Client] = {**clients, "liar": Liar(next(iter(clients.values())))}
        for how in HOWS:
            for name, of in ((how, clients), (f"{how}, a liar", liar)):
                if name != "mean":
                    options = FederationOptions(rounds=rounds, how=how, clients_min=len(of))
                    contenders[name] = learn_together(local_grid(of), options).weights
                    _say(name)
    scores: dict[str, list[F8]] = {name: [] for name in ("local", *contenders)}
    for client in clients.values():
        own = learn(client.choices, default_weights())
        for name, each in zip(scores, client.judge(own, *contenders.values()), strict=True):
            scores[name].append(each)
    return compared(scores) | {
        "rounds": rounds + 1, "bytes": learned.federated.bytes, "federated_s": took_s, "parts": learned.parts,
        "choices": [len(client.choices.real) for client in clients.values()],
    }  # fmt: skip


def together(parts: Sequence[Choices]) -> Choices:
    """All of them, padded to as many candidates."""
    most = max(part.real.shape[1] for part in parts)

    def padded(arrays: Sequence[Any]) -> Any:
        return np.concatenate([np.pad(a, ((0, 0), (0, most - a.shape[1]), *((0, 0),) * (a.ndim - 2))) for a in arrays])

    return Choices(
        padded([part.features for part in parts]),
        padded([part.real for part in parts]),
        np.concatenate([part.history for part in parts]),
        np.concatenate([part.idle_s for part in parts]),
    )


# --- the sequence model


def sequence(shops: Sequence[pl.DataFrame], rounds: int, epochs: int) -> dict[str, Any]:
    """Local, federated and pooled networks; each stops where the validation windows say."""
    import torch  # noqa: PLC0415  (an extra brings it)

    from models.training.engagements import Engagements, engagements  # noqa: PLC0415
    from models.training.sequence.client import SequenceClient, initial  # noqa: PLC0415
    from models.training.sequence.evaluation import first_seen  # noqa: PLC0415
    from models.training.sequence.histories import histories  # noqa: PLC0415
    from models.training.sequence.settings import SequenceSettings  # noqa: PLC0415

    torch.set_num_threads(1)
    every = pl.concat(shops)
    often = every.group_by("item_id").agg(pl.col("user_id").n_unique()).sort("user_id", "item_id", descending=True)
    numbers = {item: n for n, item in enumerate(often["item_id"].head(ITEMS_MAX).to_list())}
    people = {user: n for n, user in enumerate(every["user_id"].unique(maintain_order=True).to_list())}

    def arrays(events: pl.DataFrame) -> Engagements:
        events = events.filter(pl.col("item_id").is_in(list(numbers)))
        return engagements(
            np.array([people[user] for user in events["user_id"]], np.int32),
            np.array([numbers[item] for item in events["item_id"]], np.int32),
            1000 * events["time_s"].to_numpy().astype(np.int64),
        )

    settings, n = SequenceSettings(**SMALL), len(numbers)
    seen_ms = first_seen(histories(arrays(every)), n)
    clients = {f"shop-{k}": SequenceClient(arrays(events), n, settings, seen_ms) for k, events in enumerate(shops)}
    start = initial(n, settings)

    def worth(given: Mapping[str, F8], of: Sequence[SequenceClient]) -> float:
        return float(np.concatenate([client.judge(given, client.validation_rows) for client in of]).mean())

    def alone(client: SequenceClient, of: Sequence[SequenceClient]) -> tuple[dict[str, F8], int]:
        """As a federation of one: the same rounds of as many epochs, each with an optimizer that knows nothing."""
        return best(lambda given, number: client.train(given, {"round": number, "epochs": epochs})[0], of)

    def best(step: Any, of: Sequence[SequenceClient]) -> tuple[dict[str, F8], int]:
        given, found, top, at = dict(start), dict(start), -1.0, 0
        for number in range(1, rounds + 1):
            given = step(given, number)
            if (value := worth(given, of)) > top:
                found, top, at = given, value, number
            elif number - at >= PATIENCE:
                break
        return found, at

    sent = 0

    def averaged(given: dict[str, F8], number: int) -> dict[str, F8]:
        nonlocal sent
        # A round at a time, so that it can be looked at; each client's draws are of their own number.
        options = FederationOptions(rounds=1, config={"epochs": epochs, "seed_round": number})
        result = federate_here(clients, given, options)
        sent += result.bytes
        return result.arrays

    shop_list = list(clients.values())
    federated, at_round = best(averaged, shop_list)
    _say(f"federated: best after {at_round} rounds")
    pool = SequenceClient.of_pasts(shop_list, people=len(people))
    pooled, at_epoch = alone(pool, shop_list)
    _say(f"pooled: best after {at_epoch} rounds of its own")
    scores: dict[str, list[F8]] = {name: [] for name in ("local", "federated", "pooled")}
    for client in shop_list:
        own, _ = alone(client, [client])
        for name, given in (("local", own), ("federated", federated), ("pooled", pooled)):
            scores[name].append(client.judge(given))
    return compared(scores) | {
        "rounds": at_round, "bytes": sent, "pooled_rounds": at_epoch, "epochs_a_round": epochs, "items": n,
        "engagements": [int(client.past.item.size) for client in shop_list],
    }  # fmt: skip


# --- what is said


def compared(scores: Mapping[str, Sequence[F8]]) -> dict[str, Any]:
    """NDCG@10 by contender, over all questions and by shop, and each minus pooled with a 95 % interval over questions."""
    joined = {name: np.concatenate(each) for name, each in scores.items()}
    count = len(joined["pooled"])
    resamples = Resamples(np.arange(count, dtype=np.int32), 1)
    rows = {}
    for name, values in joined.items():
        difference = values - joined["pooled"]
        ((interval,),) = resamples.intervals([Part(np.ones(count, np.bool_), difference[None, :])])
        rows[name] = {
            "ndcg@10": float(values.mean()),
            "of_pooled": float(values.mean() / joined["pooled"].mean() - 1.0),
            "minus_pooled": [float(difference.mean()), interval.low, interval.high],
            "by_shop": [float(each.mean()) for each in scores[name]],
        }
    return {"questions": count, "contenders": rows}


def main(arguments: Sequence[str]) -> int:
    """Exit code 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("weights", "sequence"))
    parser.add_argument("data", choices=SETS)
    parser.add_argument("source", type=Path)
    parser.add_argument("--people", type=int, default=PEOPLE_MAX)
    parser.add_argument("--choices", type=int, default=1_000)
    parser.add_argument("--questions", type=int, default=500)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument(
        "--liar", action="store_true", help="weights: also with other means, and with a client that lies"
    )
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(arguments)
    shops = shops_of(asked.data, asked.source, asked.people)
    _say(f"{asked.data}: events by shop {[len(shop) for shop in shops]}")
    if asked.what == "weights":
        found = weights(shops, asked.choices, asked.questions, asked.rounds or 10, with_liar=asked.liar)
    else:
        found = sequence(shops, asked.rounds or 20, asked.epochs)
    if asked.json is not None:
        asked.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for name, row in found["contenders"].items():
        low, high = row["minus_pooled"][1:]
        print(
            f"{name:20} NDCG@10 {row['ndcg@10']:.4f} ({row['of_pooled']:+.1%}; minus pooled {row['minus_pooled'][0]:+.4f} "
            f"[{low:+.4f}, {high:+.4f}]); by shop {' '.join(f'{each:.4f}' for each in row['by_shop'])}"
        )
    print(json.dumps({key: value for key, value in found.items() if key != "contenders"}))
    return 0


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
