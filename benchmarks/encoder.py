"""The encoder and its micro-batcher: what the batcher costs, what it saves, and how long one text waits.

    python -m benchmarks.run encoder [--provider cuda] [--texts FILE] [--seconds 3]

Bare means ONNX Runtime's `session.run` on arrays that were tokenised, sorted by length, cut into batches of the same budget and
padded beforehand: nothing is left to do but to compute. The batcher gets the same tokenised texts, unsorted. Bare and batcher
take turns in many short rounds, and the ratio is the median of the rounds' ratios: other programs on the machine slow both.
`.._cpu_ratio` compares the processor time that they took instead, which does not see idle gaps but hardly sees others either.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import gzip
import io
import sys
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import plots
from models.encoder.contract import Prepared, Role
from models.encoder.default_model import packaged_model
from models.encoder.onnx_encoder import OnnxEncoder
from models.encoder.opening import EncoderChoice, open_encoder
from models.encoder.tokens import padded
from stream.metrics import Metrics
from stream.texts.batcher import BatcherOptions, MicroBatcher, Refused
from stream.texts.options import batch_tokens

LENGTHS = (16, 32, 128)
SAMPLE = Path(__file__).parents[1] / "stream" / "sample" / "items.csv.gz"
ROUNDS = 9
TORCH_ROUNDS = 2
LATENCY_TEXTS = 200
DUPLICATES = (0.0, 0.5, 0.9)
CONCURRENCY = 32

Batch = tuple[NDArray[np.int32], NDArray[np.int32]]


class _Tokenised:
    """The encoder, for texts that are names of tokenised ones."""

    def __init__(self, encoder: OnnxEncoder, known: dict[str, Prepared]) -> None:
        self._encoder, self._known = encoder, known
        self.model_version, self.dims = encoder.model_version, encoder.dims
        self.max_tokens, self.provider = encoder.max_tokens, encoder.provider

    def prepare(self, texts: Sequence[str], role: Role) -> list[Prepared]:
        if all(text in self._known for text in texts):
            return [self._known[text] for text in texts]
        return self._encoder.prepare(texts, role)

    def encode(self, batch: Sequence[Prepared]) -> NDArray[np.float32]:
        return self._encoder.encode(batch)

    def close(self) -> None:
        """The encoder is used again by the next batcher."""


def run(arguments: Sequence[str]) -> dict[str, float]:
    """Measure; the figures by name. `batcher_over_bare` is the smallest over all mixes of lengths."""
    options = _options(arguments)
    encoder = open_encoder(EncoderChoice(options.model, options.provider))
    if not isinstance(encoder, OnnxEncoder):
        raise SystemExit(f"bench: {options.model} does not run on ONNX Runtime")
    budget = options.batch_tokens or batch_tokens(encoder.provider)
    sys.stderr.write(f"{encoder.model_version} on {encoder.provider}, batches of {budget} tokens\n")
    torch_run = _torch(encoder) if find_spec("torch") and find_spec("transformers") and options.torch else None
    figures: dict[str, float] = {"batch_tokens": budget}
    ratios = []
    for name, texts in _mixes(encoder, options).items():
        speeds = _speeds(encoder, texts, budget, options.seconds, torch_run)
        figures |= {f"{name}_{who}_texts_per_s": speeds[who] for who in ("bare", "batcher", "torch") if who in speeds}
        ratios.append(speeds["ratio"])
        figures[f"{name}_batcher_over_bare"] = speeds["ratio"]
        figures[f"{name}_cpu_ratio"] = speeds["cpu_ratio"]
        if options.peak_tflops:
            figures[f"{name}_share_of_limit"] = (
                speeds["batcher"] * _flops(encoder, texts) / (options.peak_tflops * 1e12)
            )
    figures["batcher_over_bare"] = min(ratios)
    catalogue = _catalogue(options.texts)
    figures |= asyncio.run(_end_to_end(encoder, catalogue, budget, options.seconds))
    figures |= asyncio.run(_latency(encoder, catalogue, budget))
    for share in DUPLICATES:
        speed = asyncio.run(_duplicates(encoder, catalogue, budget, share, options.seconds))
        figures[_duplicates_name(share)] = speed
    plots.encoder(figures, [*(f"tokens{length}" for length in LENGTHS), "catalogue"])
    plots.encoder_duplicates({f"{share:.0%}": figures[_duplicates_name(share)] for share in DUPLICATES})
    return figures


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench encoder")
    parser.add_argument("--provider", default="auto", choices=["auto", "cpu", "cuda", "tensorrt"])
    parser.add_argument("--model", default="default", help="default, or a directory made by `penchant encoder export`")
    parser.add_argument("--batch-tokens", type=int, default=0, help="0 = what a worker takes")
    parser.add_argument(
        "--texts", type=Path, default=SAMPLE, help="texts, one a line; or a .csv.gz with a column Description"
    )
    parser.add_argument("--seconds", type=float, default=0.5, help="least time of one measurement in a round")
    parser.add_argument("--peak-tflops", type=float, default=0.0, help="of the card, dense, in the graph's precision")
    parser.add_argument("--no-torch", dest="torch", action="store_false", help="do not compare with torch")
    return parser.parse_args(arguments)


def _catalogue(path: Path) -> list[str]:
    if path.name.endswith(".csv.gz"):
        with gzip.open(path, "rb") as file:
            rows = csv.DictReader(io.TextIOWrapper(file, "utf-8"))
            return list(dict.fromkeys(row["Description"] for row in rows if row["Description"].strip()))
    return list(dict.fromkeys(line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()))


def _mixes(encoder: OnnxEncoder, options: argparse.Namespace) -> dict[str, list[Prepared]]:
    """Enough distinct texts of each kind; more on a GPU."""
    rng = np.random.default_rng(0)
    some = 20_000 if encoder.provider != "cpu" else 256
    mixes = {}
    for length in LENGTHS:
        ids = rng.integers(1000, 20_000, (max(some * 16 // length, 64), length)).astype(np.int32)
        mixes[f"tokens{length}"] = [Prepared(f"{length}/{i}", row, length) for i, row in enumerate(ids)]
    texts = _catalogue(options.texts)
    chosen = rng.permutation(len(texts))[:some].tolist()
    tokenised = encoder.prepare([texts[i] for i in chosen], "passage")
    mixes["catalogue"] = [each._replace(text=f"catalogue/{i}") for i, each in enumerate(tokenised)]
    return mixes


def _batches(texts: Sequence[Prepared], budget: int) -> list[Batch]:
    """Sorted by length, as many as fit the budget, padded."""
    ordered = sorted(texts, key=lambda each: each.tokens)
    batches: list[list[Prepared]] = [[]]
    for each in ordered:
        if batches[-1] and each.tokens * (len(batches[-1]) + 1) > budget:
            batches.append([])
        batches[-1].append(each)
    return [padded(batch) for batch in batches]


def _speeds(
    encoder: OnnxEncoder,
    texts: list[Prepared],
    budget: int,
    seconds: float,
    torch_run: Callable[[Batch], None] | None,
) -> dict[str, float]:
    """Texts/s of each, medians of rounds in which they take turns."""
    batches = _batches(texts, budget)
    known = {each.text: each for each in texts}
    options = BatcherOptions(max_tokens=budget, cache_max_texts=0, timeout_s=600.0)
    names = list(known)
    np.random.default_rng(1).shuffle(names)

    async def measure() -> dict[str, float]:
        batcher = MicroBatcher(lambda: _Tokenised(encoder, known), options, Metrics().texts)
        await batcher.start()

        async def through_batcher() -> None:
            answers = await batcher.encode(names)
            if any(isinstance(answer, Refused) for answer in answers):
                raise RuntimeError("a text was refused")

        async def bare() -> None:
            for batch in batches:
                encoder.run(*batch)

        async def torch() -> None:
            for batch in batches:
                if torch_run:
                    torch_run(batch)

        await bare()
        ratios, cpu_ratios = [], []
        speeds: dict[str, list[float]] = {"bare": [], "batcher": [], "torch": []}
        for round_ in range(ROUNDS):
            turn = [("bare", bare), ("batcher", through_batcher)]
            cpu = {}
            for name, contender in turn if round_ % 2 else reversed(turn):
                before, started = time.process_time(), time.perf_counter()
                speeds[name].append(await _rate(contender, len(names), seconds))
                busy = (time.process_time() - before) / (time.perf_counter() - started)
                cpu[name] = busy / speeds[name][-1]  # processor seconds per text
            ratios.append(speeds["batcher"][-1] / speeds["bare"][-1])
            cpu_ratios.append(cpu["bare"] / cpu["batcher"])
            if torch_run and round_ < TORCH_ROUNDS:
                speeds["torch"].append(await _rate(torch, len(names), seconds))
        await batcher.stop(1.0)
        medians = {name: median(rates) for name, rates in speeds.items() if rates}
        return medians | {"ratio": median(ratios), "cpu_ratio": median(cpu_ratios)}

    return asyncio.run(measure())


async def _rate(work: Callable[[], Any], n: int, seconds: float) -> float:
    started, done = time.perf_counter(), 0
    while not done or time.perf_counter() - started < seconds:
        await work()
        done += n
    return done / (time.perf_counter() - started)


async def _end_to_end(encoder: OnnxEncoder, texts: list[str], budget: int, seconds: float) -> dict[str, float]:
    """Raw texts: cleaning, hashing, tokenising, encoding; nothing is cached."""
    options = BatcherOptions(max_tokens=budget, cache_max_texts=0, timeout_s=600.0)
    batcher = MicroBatcher(lambda: _Tokenised(encoder, {}), options, Metrics().texts)
    await batcher.start()
    some = texts[: 20_000 if encoder.provider != "cpu" else 400]
    rate = await _rate(lambda: batcher.encode(some), len(some), seconds)
    started = time.perf_counter()
    encoder.prepare(some, "passage")
    tokenised = len(some) / (time.perf_counter() - started)
    await batcher.stop(1.0)
    return {"end_to_end_texts_per_s": rate, "tokenise_only_texts_per_s": tokenised}


async def _latency(encoder: OnnxEncoder, texts: list[str], budget: int) -> dict[str, float]:
    """One text at a time: what a query waits, beside the bare call for the same text."""
    batcher = MicroBatcher(
        lambda: _Tokenised(encoder, {}), BatcherOptions(max_tokens=budget, cache_max_texts=0), Metrics().texts
    )
    await batcher.start()
    through, bare = [], []
    for text in texts[:LATENCY_TEXTS]:
        started = time.perf_counter()
        await batcher.encode([text])
        through.append(1e3 * (time.perf_counter() - started))
        batch = padded(encoder.prepare([text], "passage"))
        started = time.perf_counter()
        await asyncio.to_thread(encoder.run, *batch)
        bare.append(1e3 * (time.perf_counter() - started))
    await batcher.stop(1.0)
    quantiles = {"p50": 50, "p99": 99}
    return {
        **{f"low_load_{name}_ms": float(np.percentile(through, q)) for name, q in quantiles.items()},
        **{f"low_load_bare_{name}_ms": float(np.percentile(bare, q)) for name, q in quantiles.items()},
    }


async def _duplicates(encoder: OnnxEncoder, texts: list[str], budget: int, share: float, seconds: float) -> float:
    """Texts/s for concurrent callers whose texts have been asked for before with this probability; no cache, only sharing
    of what is being computed and of the last 1,000 texts."""
    options = BatcherOptions(max_tokens=budget, cache_max_texts=1000, timeout_s=600.0)
    batcher = MicroBatcher(lambda: _Tokenised(encoder, {}), options, Metrics().texts)
    await batcher.start()
    rng = np.random.default_rng(2)
    asked: list[str] = []
    count = 0
    until = time.perf_counter() + 2 * seconds
    started = time.perf_counter()

    async def caller() -> None:
        nonlocal count
        while time.perf_counter() < until:
            if asked and rng.random() < share:
                text = asked[-1 - int(rng.integers(min(len(asked), 500)))]
            else:
                text = f"{texts[len(asked) % len(texts)]} {len(asked)}"
                asked.append(text)
            await batcher.encode([text])
            count += 1

    await asyncio.gather(*(caller() for _ in range(4 * CONCURRENCY)))
    rate = count / (time.perf_counter() - started)
    await batcher.stop(1.0)
    return rate


def _duplicates_name(share: float) -> str:
    return f"duplicates_{100 * share:.0f}pc_texts_per_s"


def _torch(encoder: OnnxEncoder) -> Callable[[Batch], None] | None:
    """The same model in torch, fp32 on the CPU, fp16 on a GPU; None for a model whose weights are not here."""
    packaged = packaged_model()
    if packaged is None or encoder.manifest.name != "all-MiniLM-L6-v2":
        return None
    import torch

    from models.encoder.source import find_source
    from models.training.encoder.reference import load_model, pool

    model, _ = load_model(find_source(str(packaged)))
    is_gpu = encoder.provider != "cpu"
    if is_gpu:
        model = model.half().cuda()

    def run_batch(batch: Batch) -> None:
        ids, lengths = batch
        mask = torch.from_numpy((np.arange(ids.shape[1]) < lengths[:, None]).astype(np.int64))
        tokens = torch.from_numpy(ids.astype(np.int64))
        if is_gpu:
            mask, tokens = mask.cuda(), tokens.cuda()
        with torch.inference_mode():
            hidden = model(input_ids=tokens, attention_mask=mask).last_hidden_state
            torch.nn.functional.normalize(pool(hidden, mask, encoder.manifest.pooling).float(), dim=1).cpu()

    return run_batch


def _flops(encoder: OnnxEncoder, texts: Sequence[Prepared]) -> float:
    """Multiply-adds x 2 of an average text: the layers' matrices (12 hidden^2 each in BERT) and the attention's products."""
    layers, hidden = encoder.manifest.layers, encoder.dims
    lengths = np.array([each.tokens for each in texts], np.float64)
    return float(np.mean(2 * layers * (12 * hidden**2 * lengths + 2 * hidden * lengths**2)))
