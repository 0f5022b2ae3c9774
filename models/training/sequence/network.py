"""The network in torch: a causal transformer (SASRec, Kang & McAuley 2018, pre-norm).

An item is `learned part + linear(text)` (the learned part is 0 for an item that training has not seen), the same for what the
user had and for what is predicted. Classes are made inside a function because torch may not be imported before.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.sequence.features import HOURS, NO_GAP, WEEKDAYS
from models.training.sequence.settings import SequenceSettings


def network(settings: SequenceSettings, n_items: int, texts: NDArray[np.float32] | None) -> Any:
    """A fresh `torch.nn.Module`; its parameters follow from `settings.seed`.

    Args:
        settings: the shape.
        n_items: items with a learned part, numbered from 0.
        texts: (n_items, dims) float32, their text vectors, centred, 0 where there is none; None = trained without text.

    The module's methods: `items()` -> `((n, d) vectors, (n,) biases)`; `forward(vectors, history...)` -> `(b, t + 1, d)`
    queries, one at the start token and one at each item.
    """
    import torch

    torch.manual_seed(settings.seed)
    d = settings.dims

    class Network(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.learned = table(n_items, d)
            self.popularity = torch.nn.Parameter(torch.zeros(n_items))
            self.unknown = torch.nn.Parameter(torch.zeros(d))
            self.unknown_popularity = torch.nn.Parameter(torch.zeros(()))
            self.start = torch.nn.Parameter(torch.randn(d) * d**-0.5)
            self.position = table(settings.length + 1, d)
            self.gap = table(NO_GAP + 1, d)
            if settings.calendar:
                self.hour, self.weekday = table(HOURS, d), table(WEEKDAYS, d)
            self.register_buffer("texts", None if texts is None else torch.from_numpy(texts), persistent=False)
            if texts is not None:
                self.project = torch.nn.Linear(texts.shape[1], d, bias=False)
                torch.nn.init.normal_(self.project.weight, std=(d * texts.shape[1]) ** -0.5 * 4)
            self.drop = torch.nn.Dropout(settings.dropout)
            self.blocks = torch.nn.ModuleList(Attention() for _ in range(settings.layers))
            self.feed = torch.nn.ModuleList(Feed() for _ in range(settings.layers))
            self.norm = torch.nn.LayerNorm(d)

        def items(self) -> tuple[Any, Any]:
            """All items that have a learned part; in training some of them do without it."""
            learned, popularity = self.learned, self.popularity
            if self.training and settings.id_dropout:
                kept = (torch.rand(len(learned), device=learned.device) >= settings.id_dropout).to(learned.dtype)
                learned, popularity = learned * kept[:, None], popularity * kept
            vectors = learned + self.unknown
            if self.texts is not None:
                vectors = vectors + self.project(self.texts)
            return vectors, popularity + self.unknown_popularity

        def tokens(self, items: Any) -> Any:
            """(b, t, d) vectors of items -> (b, t + 1, d), the start token before them."""
            start = self.start.expand(len(items), 1, d).to(items.dtype)
            return torch.cat((start, items), dim=1)

        def forward(self, items: Any, gap: Any, hour: Any, weekday: Any) -> Any:
            """(b, t, d) vectors and (b, t + 1) features -> (b, t + 1, d)."""
            tokens = self.tokens(items)
            hidden = tokens + self.position[: tokens.shape[1]] + self.gap[gap]
            if settings.calendar:
                hidden = hidden + self.hour[hour] + self.weekday[weekday]
            hidden = self.drop(hidden)
            for mix, feed in zip(self.blocks, self.feed, strict=True):
                hidden = hidden + self.drop(mix(hidden))
                hidden = hidden + self.drop(feed(hidden))
            return self.norm(hidden)

    class Attention(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.norm = torch.nn.LayerNorm(d)
            self.qkv = torch.nn.Linear(d, 3 * d)
            self.out = torch.nn.Linear(d, d)

        def forward(self, hidden: Any) -> Any:
            b, t, _ = hidden.shape
            three = self.qkv(self.norm(hidden)).view(b, t, 3, settings.heads, d // settings.heads)
            query, key, value = three.permute(2, 0, 3, 1, 4)
            drop = settings.dropout if self.training else 0.0
            # Padding is at the right, so what is valid never sees it: the causal mask is the only one.
            mixed = torch.nn.functional.scaled_dot_product_attention(query, key, value, dropout_p=drop, is_causal=True)
            return self.out(mixed.transpose(1, 2).reshape(b, t, d))

    class Feed(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.norm = torch.nn.LayerNorm(d)
            self.up = torch.nn.Linear(d, settings.hidden)
            self.down = torch.nn.Linear(settings.hidden, d)
            self.drop = torch.nn.Dropout(settings.dropout)

        def forward(self, hidden: Any) -> Any:
            return self.down(self.drop(torch.nn.functional.gelu(self.up(self.norm(hidden)))))

    def table(rows: int, columns: int) -> Any:
        return torch.nn.Parameter(torch.randn(rows, columns) * columns**-0.5)

    return Network()
