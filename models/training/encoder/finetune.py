"""Tune a sentence encoder on what users engage with together; keep it only if later users are served better by it.

Three windows of time, strictly one after the other: pairs are drawn from the first, the second says when to stop and which
weights are best, and the third, which nothing was chosen by, decides whether they are kept.

Everything random follows from the seed and the number of the step, so a run that was killed and goes on from its checkpoint
ends with the same weights as one that was not (on the CPU, to the bit).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F4
from models.encoder.errors import ModelError
from models.encoder.export import refuse_other
from models.encoder.manifest import Precision
from models.encoder.source import Progress, Source, text_sha256
from models.encoder.tokens import Tokeniser
from models.training import checkpoint
from models.training.encoder import tuned_model
from models.training.encoder.evaluation import AT, Metrics, Task, metrics, reciprocal_ranks
from models.training.encoder.keeping import keep
from models.training.encoder.losses import Known, anchor_loss, symmetric_info_nce
from models.training.encoder.pairs import Neighbourhood, codes_of, drawn
from models.training.encoder.plan import Corpus, Plan, learning_rate, plan, steps_of
from models.training.encoder.processes import Processes, processes
from models.training.encoder.settings import FinetuneSettings
from models.training.precision import half_precision, precision_name
from models.training.result import TrainingResult, gain_and_error


class Look(NamedTuple):
    """What `on_step` is told after every step."""

    step: int
    steps: int
    loss: float
    metric: float | None
    """Of the validation window, where it was looked at."""


OnStep = Callable[[Look], None]


def finetune(
    source: Source,
    corpus: Corpus,
    near: Neighbourhood,
    settings: FinetuneSettings,
    out: Path,
    *,
    precisions: tuple[Precision, ...] = ("fp32",),
    restart: bool = False,
    on_step: OnStep = lambda _: None,
    progress: Progress = lambda _: None,
) -> TrainingResult:
    """Train, measure, and write `out` if it is better. A run that was interrupted goes on from its checkpoint.

    Under `torchrun` every process calls this; the first one writes.

    Raises:
        ModelError: too few events, `out` is something else, a checkpoint of another run, a loss that is not finite.
    """
    refuse_other(out)
    tasks = plan(corpus, near, settings)
    with processes() as group:
        run = _Run(source, corpus, tasks, settings, group, checkpoint.checkpoint_of(out))
        run.begin(near, restart=restart)
        run.train(on_step)
        report = group.agreed(run.measure() if group.leads else None)
        if group.leads:
            if report["kept"]:
                keep(run.model, source, out, report, precisions=precisions, progress=progress)
            checkpoint.remove(run.directory)
        return TrainingResult(report["kept"], report)


class _Run:
    """One training run of one process."""

    def __init__(
        self, source: Source, corpus: Corpus, tasks: Plan, settings: FinetuneSettings, group: Processes, directory: Path
    ) -> None:
        import torch

        self.source, self.tasks, self.settings, self.group, self.directory = source, tasks, settings, group, directory
        self.corpus = corpus
        self.prepared = Tokeniser(source.tokenizer_json, source.prompts).prepare(corpus.texts, "passage")
        self.model = tuned_model.adapted(
            source, settings.lora_rank, settings.lora_alpha, settings.lora_dropout, settings.dropout, settings.seed
        )
        self.pad = int(self.model.config.pad_token_id or 0)
        self.module = tuned_model.Vectors(self.model, source.shape.pooling).to(group.device)
        self.parallel = group.parallel(self.module)
        self.weights = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.weights, lr=settings.learning_rate, weight_decay=settings.weight_decay)
        self.half = half_precision(settings.precision, group.device)
        self.scaler = torch.amp.GradScaler(group.device.type, enabled=self.half is torch.float16)
        self.cumulative = np.cumsum(tasks.pairs.weight)
        self.old_cumulative = None if tasks.old_pairs is None else np.cumsum(tasks.old_pairs.weight)
        codes = codes_of([tasks.pairs, *([tasks.old_pairs] if tasks.old_pairs else [])], len(corpus.texts))
        self.known = Known(torch.from_numpy(codes).to(group.device), len(corpus.texts))
        self.steps = steps_of(self.cumulative.size, settings, group.world)
        self.step, self.stale = 0, 0
        self.losses: list[float] = []
        self.looks: list[dict[str, Any]] = []
        self.best: dict[str, Any] | None = None
        """Weights at the best look after training began: if none beats the start, how far they fall is still known."""
        self.fingerprint = ""

    def begin(self, near: Neighbourhood, *, restart: bool) -> None:
        """Measure the model as it is, then go on from the checkpoint if there is one."""
        settings, everything = self.settings, np.arange(len(self.prepared), dtype=np.int32)
        columns = (*self.corpus.events, *(self.corpus.old or ()))
        self.fingerprint = checkpoint.fingerprint(
            self.source.revision, text_sha256(self.source.tokenizer_json), self.source.prompts, self.source.shape,
            near, settings, self.group.world, self.corpus.texts, *columns,
        )  # fmt: skip
        # The adapters of a fresh model change nothing: these are the starting model's vectors.
        if settings.anchor or self.group.leads:
            self.starting = self._vectors(everything if settings.anchor else self.tasks.asked)
        state = None
        if self.group.leads and restart:
            checkpoint.remove(self.directory)
        elif self.group.leads:
            state = checkpoint.load(self.directory, self.fingerprint)
        state = self.group.agreed(state)
        if state is not None:
            self._restore(state)
        else:
            self._look(None)

    def train(self, on_step: OnStep) -> None:
        """To the last step, or until the validation metric has not risen for `patience` looks; ends at the best weights."""
        settings = self.settings
        every = settings.evaluate_steps or max(1, self.steps // 10)
        while self.step < self.steps and self.stale < settings.patience:
            loss = self._train_step()
            self.losses.append(loss)
            self.step += 1
            is_last = self.step == self.steps
            metric = self._look(loss) if self.step % every == 0 or is_last else None
            if (self.step % settings.checkpoint_steps == 0 or is_last) and self.group.leads:
                checkpoint.save(self.directory, self._state())
            on_step(Look(self.step, self.steps, loss, metric))
        assert self.best is not None, "the last step is looked at"
        tuned_model.set_adapter_state(self.model, self.best)

    def measure(self) -> dict[str, Any]:
        """The report: what the tuned weights are worth, on windows that had no say so far."""
        after = self._vectors(self.tasks.asked)
        test, gain = self._compare(self.tasks.test, after)
        old = None if self.tasks.old_test is None else self._compare(self.tasks.old_test, after)[0]
        return {
            "kept": gain > self.settings.min_gain,
            "gain": gain,
            "metric": self.settings.metric,
            "test": test,
            "old": old,
            "pairs": int(self.cumulative.size),
            "old_pairs": 0 if self.old_cumulative is None else int(self.old_cumulative.size),
            "texts": len(self.prepared),
            "steps": self.step,
            "steps_planned": self.steps,
            "device": self.group.device.type,
            "processes": self.group.world,
            "precision": precision_name(self.half),
            "model": f"{self.source.name}@{self.source.revision}",
            "settings": self.settings._asdict(),
            "losses": self.losses,
            "looks": self.looks,
        }

    def _compare(self, task: Task, after: F4) -> tuple[dict[str, Any], float]:
        tables = [table[task.candidates] for table in (self.starting, after)]
        ranks = [reciprocal_ranks(task, table) for table in tables]
        if self.settings.metric == "recall":
            ranks = [(each >= 1.0 / AT).astype(np.float64) for each in ranks]
        gain, error = gain_and_error(ranks[0], ranks[1])
        before, now = (metrics(task, table)._asdict() for table in tables)
        return {"before": before, "after": now, "gain": gain, "standard_error": error}, gain

    def _train_step(self) -> float:
        import torch

        settings = self.settings
        for each in self.optimizer.param_groups:
            each["lr"] = learning_rate(self.step, self.steps, settings)
        self.module.train()
        self.optimizer.zero_grad()
        total = 0.0
        for part in range(settings.accumulate):
            is_last = part == settings.accumulate - 1
            with nullcontext() if self.group.world == 1 or is_last else self.parallel.no_sync():
                loss = self._loss(part) / settings.accumulate
                self.scaler.scale(loss).backward()
            total += loss.item()
        total = self.group.mean(total)  # also: a loss that is not finite ends all processes, none waits for another
        if not math.isfinite(total):
            raise ModelError(f"the loss is not finite at step {self.step + 1}.", "lower --learning-rate")
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.weights, settings.max_grad_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return total

    def _loss(self, part: int) -> Any:
        import torch

        group, settings = self.group, self.settings
        left, right = self._batch(part)
        rows = np.concatenate((left, right))
        ids, mask = tuned_model.as_tensors([self.prepared[row] for row in rows.tolist()], self.pad, group.device)
        # Dropout's randomness by seed, step and process: no generator's state has to be saved.
        words = np.random.SeedSequence([settings.seed, 3, self.step, part, group.rank]).generate_state(1, np.uint64)
        torch.manual_seed(int(words[0] >> np.uint64(1)))
        half = torch.autocast(group.device.type, dtype=self.half) if self.half is not None else nullcontext()
        with half:
            vectors = self.parallel(ids, mask)
        texts = torch.from_numpy(rows.astype(np.int64)).to(group.device)
        sides, numbers = (vectors[: len(left)], vectors[len(left) :]), (texts[: len(left)], texts[len(left) :])
        all_sides = group.gather(sides[0]), group.gather(sides[1])
        all_numbers = group.gather(numbers[0]), group.gather(numbers[1])
        own = group.rank * len(left)
        loss = symmetric_info_nce(sides, numbers, all_sides, all_numbers, own, settings.temperature, self.known)
        if settings.anchor:
            start = torch.from_numpy(self.starting[rows]).to(group.device)
            loss = loss + settings.anchor * anchor_loss(vectors, start)
        return loss

    def _batch(self, part: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """This process's pairs: every process draws all of them and takes its share."""
        settings, group, tasks = self.settings, self.group, self.tasks
        rng = np.random.default_rng([settings.seed, 2, self.step, part])
        n = settings.batch * group.world
        n_old = 0 if tasks.old_pairs is None else round(settings.replay_share * n)
        left, right = drawn(tasks.pairs, self.cumulative, n - n_old, rng)
        if n_old and tasks.old_pairs is not None and self.old_cumulative is not None:
            old_left, old_right = drawn(tasks.old_pairs, self.old_cumulative, n_old, rng)
            left, right = np.concatenate((left, old_left)), np.concatenate((right, old_right))
        return left[group.rank :: group.world], right[group.rank :: group.world]

    def _look(self, loss: float | None) -> float:
        """Measure the validation window and remember the weights if they are the best; the same in every process."""
        found: Metrics | None = None
        if self.group.leads:
            task = self.tasks.validation
            found = metrics(task, self._vectors(task.candidates)[task.candidates])
        found = self.group.agreed(found)
        assert found is not None
        self.looks.append({"step": self.step, "loss": loss, "mrr": found.mrr, "recall": found.recall})
        value: float = self.looks[-1][self.settings.metric]
        trained = [look[self.settings.metric] for look in self.looks if look["step"]]
        if trained and value > max(trained[:-1], default=-math.inf):
            self.best = tuned_model.adapter_state(self.model)
        self.stale = (
            0 if value > max((look[self.settings.metric] for look in self.looks[:-1]), default=-1) else self.stale + 1
        )
        return value

    def _vectors(self, rows: NDArray[np.int32]) -> F4:
        """(texts, dims): of these rows; zeros elsewhere."""
        table = np.zeros((len(self.prepared), self.source.shape.hidden), np.float32)
        batch = [self.prepared[row] for row in rows.tolist()]
        table[rows] = tuned_model.all_vectors(self.module, batch, self.pad, self.group.device)
        return table

    def _state(self) -> dict[str, Any]:
        return {
            "fingerprint": self.fingerprint, "step": self.step, "stale": self.stale, "losses": self.losses,
            "looks": self.looks, "best": self.best,
            "weights": tuned_model.adapter_state(self.model), "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }  # fmt: skip

    def _restore(self, state: dict[str, Any]) -> None:
        self.step, self.stale, self.losses, self.looks = (state[k] for k in ("step", "stale", "losses", "looks"))
        self.best = state["best"]
        tuned_model.set_adapter_state(self.model, state["weights"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
