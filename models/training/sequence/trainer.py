"""One network under training on one window of events, step by step.

Everything random follows from the seed and the number of the epoch or step, so a run that goes on from `state` ends with the
same weights as one that was not interrupted (on the CPU, to the bit).
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.encoder.errors import ModelError
from models.sequence.features import pair_buckets
from models.training.precision import half_precision
from models.training.sequence.evaluation import ItemScores
from models.training.sequence.histories import Batch, Histories, lesson, segments, without_query_time
from models.training.sequence.losses import next_item_loss
from models.training.sequence.network import network
from models.training.sequence.settings import SequenceSettings


class Trainer:
    """The network, its optimizer, and where in the data it is."""

    def __init__(
        self,
        events: Histories,
        n_items: int,
        texts: NDArray[np.float32] | None,
        settings: SequenceSettings,
        device: Any,
        *,
        query_time: bool = True,
    ) -> None:
        """`events` are what is learned from; items are numbered below `n_items`, `texts` as in `network`.

        Without `query_time` nothing is known of when the next event is (`histories.without_query_time`): for comparisons, a
        worker always knows.
        """
        import torch

        self._events, self._settings, self._device = events, settings, device
        self._query_time = query_time
        self.module = network(settings, n_items, texts).to(device)
        self._optimizer = torch.optim.AdamW(
            self.module.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.half = half_precision(settings.precision, device)
        self._scaler = torch.amp.GradScaler(device.type, enabled=self.half is torch.float16)
        counts = self._targets(n_items)
        self.trained = counts > 0
        """(n_items,) bool: in the events. The others are no lesson: to push them away would be to forbid what is new."""
        self._trained = torch.from_numpy(np.flatnonzero(self.trained)).to(device)
        self._number = torch.from_numpy(np.cumsum(self.trained) - 1).to(device)
        self._counts = torch.from_numpy(counts[self.trained].astype(np.float32)).to(device)
        with torch.no_grad():
            self.module.learned[torch.from_numpy(~self.trained).to(device)] = 0.0
        self.epoch, self.step, self._place = 0, 0, 0
        self._plan: NDArray[np.int64] | None = None

    @property
    def is_between_epochs(self) -> bool:
        """Whether the next step begins an epoch."""
        return self._place == 0

    def train_step(self) -> float:
        """One step of the optimizer; the loss.

        Raises:
            ModelError: it is not finite.
        """
        import torch

        self._begin_step()
        self._optimizer.zero_grad()
        loss = self._loss(self._next_segments())
        value = float(loss.item())
        if not math.isfinite(value):
            raise ModelError(f"the loss is not finite at step {self.step + 1}.", "lower --learning-rate")
        self._scaler.scale(loss).backward()
        self._scaler.unscale_(self._optimizer)
        torch.nn.utils.clip_grad_norm_(self.module.parameters(), self._settings.max_grad_norm)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self.step += 1
        return value

    def queries(self, history: Batch) -> NDArray[np.float32]:
        """(b, d) as a served model computes them: at the newest item of each history, fp32."""
        import torch

        self.module.eval()
        with torch.inference_mode():
            vectors = self.module.items()[0]
            hidden = self.module(*self._tensors(history, vectors))
            last = torch.from_numpy(history.lengths).to(self._device)
            found: NDArray[np.float32] = hidden[torch.arange(len(last), device=self._device), last].cpu().numpy()
        return found

    def items(self) -> ItemScores:
        """Vectors and biases of the items with a learned part."""
        import torch

        self.module.eval()
        with torch.inference_mode():
            vectors, biases = self.module.items()
        return ItemScores(vectors.cpu().numpy(), biases.cpu().numpy())

    def weights(self) -> dict[str, Any]:
        """Copies of the parameters by name, tensors on the CPU."""
        return {name: p.detach().cpu().clone() for name, p in self.module.named_parameters()}

    def set_weights(self, weights: dict[str, Any]) -> None:
        """Put them back."""
        import torch

        with torch.no_grad():
            for name, parameter in self.module.named_parameters():
                parameter.copy_(weights[name])

    def state(self) -> dict[str, Any]:
        """What `restore` needs; for `torch.save`."""
        return {
            "epoch": self.epoch, "step": self.step, "place": self._place,
            "weights": self.weights(),
            "optimizer": self._optimizer.state_dict(), "scaler": self._scaler.state_dict(),
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.epoch, self.step, self._place = state["epoch"], state["step"], state["place"]
        self._plan = None
        self.set_weights(state["weights"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._scaler.load_state_dict(state["scaler"])

    def _targets(self, n_items: int) -> NDArray[np.int64]:
        """(n_items,) how often each item is a target."""
        return np.bincount(self._events.item, minlength=n_items)

    def _begin_step(self) -> None:
        """The step's learning rate and its random numbers."""
        import torch

        settings = self._settings
        for each in self._optimizer.param_groups:
            each["lr"] = settings.learning_rate * min(1.0, (self.step + 1) / max(1, settings.warmup_steps))
        torch.manual_seed(word(self._secret(), 3, self.step))
        self.module.train()

    def _secret(self) -> int:
        """What all random numbers follow from."""
        return self._settings.seed

    def _next_segments(self) -> NDArray[np.int64]:
        """The step's segments; after an epoch's last ones the next epoch begins."""
        settings = self._settings
        if self._plan is None:
            rng = np.random.default_rng([settings.seed, 1, self.epoch])
            self._plan = rng.permutation(segments(self._events, settings.length, rng))
        chosen = self._plan[self._place : self._place + settings.batch]
        self._place += settings.batch
        if self._place >= len(self._plan):
            self.epoch, self._place, self._plan = self.epoch + 1, 0, None
        return chosen

    def _loss(self, chosen: NDArray[np.int64]) -> Any:
        import torch

        settings = self._settings
        rng = np.random.default_rng([settings.seed, 2, self.step])
        taught = lesson(self._events, chosen, settings.event_dropout, rng)
        half = torch.autocast(self._device.type, dtype=self.half) if self.half is not None else nullcontext()
        vectors, biases = self.module.items()
        with half:
            hidden = self.module(*self._tensors(taught.history, vectors))
        targets = torch.from_numpy(taught.targets).to(self._device)
        asked = targets >= 0
        if not asked.any():  # all that could be learned was left out of a tiny batch
            return hidden.sum() * 0.0
        ranked = vectors[self._trained], biases[self._trained]
        return next_item_loss(hidden[asked], self._number[targets[asked]], *ranked, self._counts, settings)

    def _tensors(self, history: Batch, vectors: Any) -> tuple[Any, ...]:
        import torch

        items = torch.from_numpy(history.items).to(self._device)
        known = vectors[items.clamp(min=0)] * (items >= 0)[:, :, None]
        return known, *self._features(history)

    def _features(self, history: Batch) -> tuple[Any, ...]:
        """Gap, hour, weekday and pair of `Network.forward`."""
        import torch

        times = history.times if self._query_time else without_query_time(history.times)
        pair = pair_buckets(times) if self._settings.architecture == "hstu" else None
        features = (times.gap, times.hour, times.weekday, pair)
        return tuple(None if each is None else torch.from_numpy(each).to(self._device) for each in features)


def word(*parts: int) -> int:
    """A seed for a step: no generator's state has to be saved."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))
