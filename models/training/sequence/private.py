"""Differentially private training: DP-SGD (Abadi et al., CCS 2016) whose unit is a person. Needs Opacus.

Each step draws people by a coin each (Poisson sampling), takes of each one stretch of their history, shortens the gradient
that this person alone gives to `max_grad_norm`, sums, adds noise and steps; steps are planned before the first one. Opacus
clips, noises and accounts. Its module wrapper is not used: it knows gradients of layers, and here an item's vector is a
parameter that histories and targets share. `torch.func` takes the gradients of one person's loss, for several people at once.

Nothing but gradients may carry what people did. So every item that there is counts as one that may be learned, with the same
weight, whether anybody had it or not; and noise and samples do not follow from the seed: who knows it would know the noise.
"""

from __future__ import annotations

import math
import secrets
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.encoder.errors import ModelError
from models.privacy.bounds import PrivacyBoundsError, checked_promise
from models.training.sequence.histories import Histories, lesson_of, people, stretches
from models.training.sequence.settings import FULL_SOFTMAX_ITEMS, SequenceSettings
from models.training.sequence.trainer import Trainer, word

ACCOUNTANT: Final = "rdp"
"""Rényi differential privacy (Mironov, Talwar and Zhang 2019), an upper bound for any number of steps. Opacus's numerical
account ("prv") would need 4 to 6 % less noise, and takes seconds to more than a minute, the longest below epsilon 1."""

ORDERS: Final = [1 + x / 10 for x in range(1, 100)] + [float(x) for x in range(12, 64)] + [2.0**x for x in range(6, 15)]
"""Of Rényi divergences: those that Opacus looks at, and larger ones for small epsilons."""

PEOPLE_AT_ONCE: Final = 16
"""Each has a gradient of all parameters in memory."""


class Spending(NamedTuple):
    """What the planned steps take."""

    sample_rate: float
    """Chance of a person to be in a step."""
    steps: int
    steps_per_epoch: int
    noise_multiplier: float
    """Standard deviation of the noise of a sum, in `max_grad_norm`."""


def check(settings: SequenceSettings, n_items: int) -> None:
    """Whether they can be trained with privately.

    Raises:
        ModelError: they cannot.
    """
    try:
        checked_promise(settings.private_epsilon or 0.0, settings.private_delta)
    except PrivacyBoundsError as error:
        raise ModelError(f"{error}.", "give another --dp-epsilon or --dp-delta") from None
    if not (settings.max_grad_norm > 0 and math.isfinite(settings.max_grad_norm)):
        raise ModelError(f"--max-grad-norm {settings.max_grad_norm:g} bounds nobody's part.", "give one above 0")
    if settings.loss not in {"auto", "full"} or n_items > FULL_SOFTMAX_ITEMS:
        raise ModelError(
            "private training knows the softmax over all items only (sampled items follow from what all people had).",
            f"--loss full, and a catalogue of at most {FULL_SOFTMAX_ITEMS:,} items",
        )
    if settings.precision not in {"auto", "fp32"}:
        raise ModelError("private training computes in fp32.", "leave --precision out")


def spending(settings: SequenceSettings, n_people: int) -> Spending:
    """How much noise keeps the promise over all epochs, by Opacus's accountant.

    Raises:
        ModelError: delta would allow to give somebody away whole, or the accountant finds no noise.
    """
    from opacus.accountants.utils import get_noise_multiplier

    epsilon = settings.private_epsilon
    assert epsilon is not None, "checked"
    if settings.private_delta * n_people >= 1:
        raise ModelError(
            f"--dp-delta {settings.private_delta:g} gives one of {n_people:,} people away whole.", "lower it"
        )
    rate = min(1.0, settings.batch / n_people)
    steps_per_epoch = max(1, round(1 / rate))
    steps = settings.epochs * steps_per_epoch
    try:
        noise = get_noise_multiplier(
            target_epsilon=epsilon,
            target_delta=settings.private_delta,
            sample_rate=rate,
            steps=steps,
            accountant=ACCOUNTANT,
            epsilon_tolerance=min(0.01, epsilon / 100),
            alphas=ORDERS,
        )
    except ValueError as error:
        raise ModelError(
            f"no noise keeps epsilon {epsilon:g} over {steps:,} steps ({error}).",
            "raise --dp-epsilon or lower --epochs",
        ) from None
    return Spending(rate, steps, steps_per_epoch, noise)


class PrivateTrainer(Trainer):
    """A `Trainer` whose weights are differentially private towards each person of its events."""

    def __init__(
        self,
        events: Histories,
        n_items: int,
        texts: NDArray[np.float32] | None,
        settings: SequenceSettings,
        device: Any,
        *,
        secret: int | None = None,
    ) -> None:
        """As `Trainer`. `secret`: noise and samples follow from it, for tests and benchmarks; None: drawn, and kept nowhere.

        Raises:
            ModelError: `check`, `spending`.
        """
        from opacus.accountants import create_accountant
        from opacus.optimizers import DPOptimizer

        check(settings, n_items)
        self._drawn = secrets.randbits(128) if secret is None else secret
        super().__init__(events, n_items, texts, settings, device)
        self.half = None
        self._people = people(events)
        self.spending = spending(settings, len(self._people))
        self._accountant = create_accountant(ACCOUNTANT)
        self._private = DPOptimizer(
            self._optimizer,
            noise_multiplier=self.spending.noise_multiplier,
            max_grad_norm=settings.max_grad_norm,
            expected_batch_size=self.spending.sample_rate * len(self._people),
            secure_mode=True,  # sums of several normals: a single one's float tells on what it was added to
        )
        self._last_loss = 0.0

    def train_step(self) -> float:
        """One step, whoever is in it; the mean loss of those who are, of nobody the loss of the step before.

        Raises:
            ModelError: it is not finite, or all planned steps were made.
        """
        import torch

        if self.step >= self.spending.steps:
            raise ModelError("all planned steps were made: one more would cost more privacy.", "plan more --epochs")
        self._begin_step()
        self._private.generator = torch.Generator(self._device).manual_seed(word(self._drawn, 4, self.step))
        rng = np.random.default_rng([self._drawn, 5, self.step])
        drawn = self._people[rng.random(len(self._people)) < self.spending.sample_rate]
        parts = [drawn[at : at + PEOPLE_AT_ONCE] for at in range(0, len(drawn), PEOPLE_AT_ONCE)] or [drawn]
        losses = []
        for number, part in enumerate(parts):
            self._private.zero_grad()
            gradients, loss = self.gradients(part, rng)
            losses.append(loss)
            for name, parameter in self.module.named_parameters():
                parameter.grad_sample = gradients[name]
            self._private.signal_skip_step(number < len(parts) - 1)
            self._private.step()
        self._private.zero_grad()
        self._accountant.step(noise_multiplier=self.spending.noise_multiplier, sample_rate=self.spending.sample_rate)
        self._last_loss = self._mean(losses)
        self.step += 1
        self._place += 1
        if self._place == self.spending.steps_per_epoch:
            self.epoch, self._place = self.epoch + 1, 0
        return self._last_loss

    def gradients(self, some: NDArray[np.int64], rng: np.random.Generator) -> tuple[dict[str, Any], Any]:
        """Of each person's own loss, before any bound.

        Args:
            some: (b, 2) rows [from, to) of people's histories; b may be 0.
            rng: which stretch of a history, and which events are left out of it.

        Returns:
            By a parameter's name (b, its shape); and (b,) losses.
        """
        import torch
        from torch.nn.attention import SDPBackend, sdpa_kernel

        weights = {name: p.detach() for name, p in self.module.named_parameters()}
        if not len(some):
            none = {name: p.new_zeros((0, *p.shape)) for name, p in weights.items()}
            return none, torch.zeros(0, device=self._device)
        chosen = stretches(some, self._settings.length, rng)
        sizes = chosen[:, 1] - chosen[:, 0]
        inside = np.arange(int(sizes.max())) < sizes[:, None]
        kept = inside & (rng.random(inside.shape) >= self._settings.event_dropout)
        kept |= inside & (kept.sum(axis=1) == 0)[:, None]  # whoever would be left out whole is in whole
        taught = lesson_of(self._events, chosen, kept)
        given = [torch.from_numpy(each).to(self._device) for each in (taught.history.items, taught.targets)]
        given += [each for each in self._features(taught.history) if each is not None]
        lesson_loss = _person_loss(self.module)

        def loss_of(weights: dict[str, Any], *lesson: Any) -> Any:
            return torch.func.functional_call(lesson_loss, weights, lesson)

        named = {f"network.{name}": value for name, value in weights.items()}
        each = torch.func.vmap(
            torch.func.grad_and_value(loss_of), in_dims=(None, *(0 for _ in given)), randomness="different"
        )
        with sdpa_kernel(SDPBackend.MATH):  # the others have no rule for many gradients at once
            found, losses = each(named, *given)
        return {name: found[f"network.{name}"] for name in weights}, losses

    def account(self) -> dict[str, Any]:
        """What was promised and what the steps so far have spent; for the report and the manifest."""
        import opacus

        delta = self._settings.private_delta
        return {
            "unit": "person",
            "neighbours": "one person more or less",
            "epsilon": float(self._accountant.get_epsilon(delta, alphas=ORDERS)) if self.step else 0.0,
            "epsilon_planned": self._settings.private_epsilon,
            "delta": delta,
            "noise_multiplier": self.spending.noise_multiplier,
            "max_grad_norm": self._settings.max_grad_norm,
            "sample_rate": self.spending.sample_rate,
            "sampling": "poisson",
            "steps": self.step,
            "accountant": f"{ACCOUNTANT}, opacus {opacus.__version__}",
        }

    def state(self) -> dict[str, Any]:
        """What `restore` needs. The secret is not in it: a run that goes on draws another one."""
        return super().state() | {"spent": self._accountant.state_dict()["history"], "last_loss": self._last_loss}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from there; steps that were made after it were never seen by anybody."""
        super().restore(state)
        self._accountant.history = [tuple(each) for each in state["spent"]]
        self._last_loss = state["last_loss"]

    def _targets(self, n_items: int) -> NDArray[np.int64]:
        return np.ones(n_items, np.int64)  # not who had what: that is what has to stay private

    def _secret(self) -> int:
        return self._drawn

    def _mean(self, losses: list[Any]) -> float:
        import torch

        every = torch.cat(losses)
        value = float(every.mean()) if every.numel() else self._last_loss
        if not math.isfinite(value):
            raise ModelError(f"the loss is not finite at step {self.step + 1}.", "lower --learning-rate")
        return value


def _person_loss(network: Any) -> Any:
    """A module whose `forward(items (t,), targets (t + 1,), features (t + 1, ..)..)` is one person's mean loss, a scalar."""
    import torch

    class PersonLoss(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, items: Any, targets: Any, *features: Any) -> Any:
            vectors, biases = self.network.items()
            known = vectors[items.clamp(min=0)] * (items >= 0)[:, None]
            gap, hour, weekday, pair = (*(each[None] for each in features), None)[:4]
            hidden = self.network(known[None], gap, hour, weekday, pair)[0]
            total = torch.nn.functional.cross_entropy(
                hidden @ vectors.T + biases, targets, ignore_index=-1, reduction="sum"
            )
            return total / (targets >= 0).sum().clamp(min=1)

    return PersonLoss()
