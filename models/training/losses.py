"""Contrastive loss over a batch of pairs, and what holds a model near where it started."""

from __future__ import annotations

from typing import Any


def info_nce(queries: Any, documents: Any, query_texts: Any, document_texts: Any, own: int, temperature: float) -> Any:
    """Multiple negatives ranking loss (Henderson et al. 2017; InfoNCE, van den Oord et al. 2018), one direction.

    The document of every other pair is a negative, unless it reads like the query or like the query's own document:
    pushing a text away from itself is no lesson.

    Args:
        queries: (b, d) unit vectors.
        documents: (B, d) unit vectors of all processes' pairs; row `own + i` belongs to query i.
        query_texts: (b,) int64, numbers of the texts.
        document_texts: (B,) int64.
        own: row of the first query's document.
        temperature: cosines are divided by it.

    Returns:
        Mean over the queries, a scalar tensor.
    """
    import torch

    rows = torch.arange(len(queries), device=queries.device)
    logits = queries @ documents.T / temperature
    same = (document_texts[None, :] == document_texts[own + rows][:, None]) | (
        document_texts[None, :] == query_texts[:, None]
    )
    same[rows, own + rows] = False
    return torch.nn.functional.cross_entropy(logits.masked_fill(same, float("-inf")), own + rows)


def symmetric_info_nce(
    left: Any, right: Any, texts: tuple[Any, Any], gathered: tuple[Any, Any, Any, Any], own: int, temperature: float
) -> Any:
    """`info_nce` both ways, averaged.

    Args:
        left: (b, d) unit vectors of this process.
        right: (b, d), the other side of each pair.
        texts: their numbers, (b,) int64 each.
        gathered: `(left, right, left texts, right texts)` of all processes.
        own: this process's first row in them.
        temperature: as in `info_nce`.
    """
    all_left, all_right, all_left_texts, all_right_texts = gathered
    forth = info_nce(left, all_right, texts[0], all_right_texts, own, temperature)
    back = info_nce(right, all_left, texts[1], all_left_texts, own, temperature)
    return (forth + back) / 2


def anchor_loss(vectors: Any, starting: Any) -> Any:
    """Mean of 1 - cosine to the starting model's unit vectors: half their mean squared distance."""
    return (1.0 - (vectors * starting).sum(dim=1)).mean()
