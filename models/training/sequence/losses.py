"""Which item comes next: softmax over all items, over sampled ones, or gBCE."""

from __future__ import annotations

from typing import Any

from models.training.sequence.settings import FULL_SOFTMAX_ITEMS, SequenceSettings


def loss_kind(settings: SequenceSettings, n_items: int) -> str:
    """The loss that `auto` means for a catalogue of this size."""
    if settings.loss != "auto":
        return settings.loss
    return "full" if n_items <= FULL_SOFTMAX_ITEMS else "sampled"


def next_item_loss(
    queries: Any, targets: Any, vectors: Any, biases: Any, counts: Any, settings: SequenceSettings
) -> Any:
    """Mean loss over q questions, a scalar tensor; fp32.

    Args:
        queries: (q, d).
        targets: (q,) int64, the items that came next.
        vectors: (n, d) of all items.
        biases: (n,).
        counts: (n,) float32, how often each is a target in training; negatives of `sampled` are drawn by it.
        settings: loss, negatives, calibration.
    """
    kind = loss_kind(settings, len(vectors))
    queries = queries.float()
    if kind == "full":
        return full_softmax(queries, targets, vectors, biases)
    if kind == "sampled":
        return sampled_softmax(queries, targets, vectors, biases, counts, settings.negatives)
    return gbce(queries, targets, vectors, biases, settings.negatives, settings.calibration)


def full_softmax(queries: Any, targets: Any, vectors: Any, biases: Any) -> Any:
    """Cross-entropy over all items."""
    import torch

    return torch.nn.functional.cross_entropy(torch.addmm(biases, queries, vectors.T), targets)


def sampled_softmax(queries: Any, targets: Any, vectors: Any, biases: Any, counts: Any, negatives: int) -> Any:
    """Cross-entropy whose sum over the other items is estimated from m drawn ones (Bengio & Senécal 2008).

    They are drawn by how often they occur, and each stands for 1 / (m q) items: with this "logQ correction" the estimate is
    unbiased but for the question's own item, which is left out where it was drawn.
    """
    import torch

    share = counts / counts.sum()
    drawn = torch.multinomial(share, negatives, replacement=True)
    logits = torch.addmm(biases[drawn] - torch.log(negatives * share[drawn]), queries, vectors[drawn].T)
    logits = logits.masked_fill(drawn[None, :] == targets[:, None], float("-inf"))
    own = (queries * vectors[targets]).sum(dim=1) + biases[targets]
    return (torch.logsumexp(torch.cat((own[:, None], logits), dim=1), dim=1) - own).mean()


def gbce(queries: Any, targets: Any, vectors: Any, biases: Any, negatives: int, calibration: float) -> Any:
    """Generalised binary cross-entropy (gSASRec, Petrov & Macdonald 2023, eq. 11); negatives uniform, shared by a batch."""
    import torch

    n = len(vectors)
    alpha = min(1.0, negatives / (n - 1)) if n > 1 else 1.0
    beta = alpha * (calibration * (1 - 1 / alpha) + 1 / alpha)
    drawn = torch.randint(n, (negatives,), device=queries.device)
    logits = torch.addmm(biases[drawn], queries, vectors[drawn].T)
    other = (drawn[None, :] != targets[:, None]).float()
    own = (queries * vectors[targets]).sum(dim=1) + biases[targets]
    positive = beta * torch.nn.functional.softplus(-own)
    return (positive + (torch.nn.functional.softplus(logits) * other).sum(dim=1)).mean()
