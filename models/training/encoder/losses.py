"""Contrastive loss over a batch of pairs, and what holds a model near where it started."""

from __future__ import annotations

from typing import Any


class Known:
    """The pairs that are true, so that none of them is taught as a negative: what sells together is dense in a batch."""

    def __init__(self, codes: Any, n_texts: int) -> None:
        """`codes`: of `models.training.encoder.pairs.codes_of`, an int64 tensor on the device of the batches."""
        self._codes, self._n_texts = codes, n_texts

    def holds(self, a: Any, b: Any) -> Any:
        """bool of the shape that the int64 tensors `a` and `b` broadcast to."""
        import torch

        codes = torch.minimum(a, b) * self._n_texts + torch.maximum(a, b)
        at = torch.searchsorted(self._codes, codes).clamp(max=len(self._codes) - 1)
        return self._codes[at] == codes


def info_nce(
    queries: Any,
    documents: Any,
    query_texts: Any,
    document_texts: Any,
    own: int,
    temperature: float,
    known: Known,
) -> Any:
    """Multiple negatives ranking loss (Henderson et al. 2017; InfoNCE, van den Oord et al. 2018), one direction.

    The document of every other pair is a negative, unless it reads like the query or like the query's own document, or is
    known to go with the query: pushing these apart is no lesson.

    Args:
        queries: (b, d) unit vectors.
        documents: (B, d) unit vectors of all processes' pairs; row `own + i` belongs to query i.
        query_texts: (b,) int64, numbers of the texts.
        document_texts: (B,) int64.
        own: row of the first query's document.
        temperature: cosines are divided by it.
        known: true pairs.

    Returns:
        Mean over the queries, a scalar tensor.
    """
    import torch

    rows = torch.arange(len(queries), device=queries.device)
    logits = queries @ documents.T / temperature
    across, down = document_texts[None, :], query_texts[:, None]
    same = (across == document_texts[own + rows][:, None]) | (across == down) | known.holds(down, across)
    same[rows, own + rows] = False
    return torch.nn.functional.cross_entropy(logits.masked_fill(same, float("-inf")), own + rows)


def symmetric_info_nce(
    sides: tuple[Any, Any],
    texts: tuple[Any, Any],
    all_sides: tuple[Any, Any],
    all_texts: tuple[Any, Any],
    own: int,
    temperature: float,
    known: Known,
) -> Any:
    """`info_nce` both ways, averaged.

    Args:
        sides: (b, d) unit vectors each, of this process's pairs.
        texts: their numbers, (b,) int64 each.
        all_sides, all_texts: the same of all processes.
        own: this process's first row in them.
        temperature, known: as in `info_nce`.
    """
    forth = info_nce(sides[0], all_sides[1], texts[0], all_texts[1], own, temperature, known)
    back = info_nce(sides[1], all_sides[0], texts[1], all_texts[0], own, temperature, known)
    return (forth + back) / 2


def anchor_loss(vectors: Any, starting: Any) -> Any:
    """Mean of 1 - cosine to the starting model's unit vectors: half their mean squared distance."""
    return (1.0 - (vectors * starting).sum(dim=1)).mean()
