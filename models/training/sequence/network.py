"""The network in torch: a causal transformer (SASRec, Kang & McAuley 2018, pre-norm), or one with other blocks for attention.

An item is `learned part + linear(text)` (the learned part is 0 for an item that training has not seen), the same for what the
user had and for what is predicted. Classes are made inside a function because torch may not be imported before.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.sequence.features import HOURS, NO_GAP, START_PAIR, WEEKDAYS
from models.training.sequence.settings import SequenceSettings

BIAS_STD: Final = 0.02
"""Of the biases by place and time at the beginning."""


RING: Final = (0.8, 0.99)
"""Sizes of lambda at the beginning, of recurrent blocks: between forgetting a fifth and a hundredth a place (as LRURec)."""


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
            block = {"sasrec": Attention, "hstu": Transducer, "lru": Recurrence}[settings.architecture]
            self.blocks = torch.nn.ModuleList(block() for _ in range(settings.layers))
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

        def forward(self, items: Any, gap: Any, hour: Any, weekday: Any, pair: Any) -> Any:
            """(b, t, d) vectors, (b, t + 1) features and (b, t + 1, t + 1) buckets, None but for HSTU -> (b, t + 1, d)."""
            tokens = self.tokens(items)
            hidden = tokens + self.position[: tokens.shape[1]] + self.gap[gap]
            if settings.calendar:
                hidden = hidden + self.hour[hour] + self.weekday[weekday]
            hidden = self.drop(hidden)
            for mix, feed in zip(self.blocks, self.feed, strict=True):
                hidden = hidden + self.drop(mix(hidden, pair))
                hidden = hidden + self.drop(feed(hidden))
            return self.norm(hidden)

    class Attention(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.norm = torch.nn.LayerNorm(d)
            self.qkv = torch.nn.Linear(d, 3 * d)
            self.out = torch.nn.Linear(d, d)

        def forward(self, hidden: Any, _: None) -> Any:
            b, t, _ = hidden.shape
            three = self.qkv(self.norm(hidden)).view(b, t, 3, settings.heads, d // settings.heads)
            query, key, value = three.permute(2, 0, 3, 1, 4)
            drop = settings.dropout if self.training else 0.0
            # Padding is at the right, so what is valid never sees it: the causal mask is the only one.
            mixed = torch.nn.functional.scaled_dot_product_attention(query, key, value, dropout_p=drop, is_causal=True)
            return self.out(mixed.transpose(1, 2).reshape(b, t, d))

    class Transducer(torch.nn.Module):  # type: ignore[misc]
        """HSTU (Zhai et al., ICML 2024, eq. 1 to 3): SiLU in place of softmax, so that how much there is of a thing counts.

        Beside the paper: divided by how many places may be looked at, not by the longest length, so short histories are not
        faint; and the feed-forward part of a layer stays.
        """

        def __init__(self) -> None:
            super().__init__()
            self.norm = torch.nn.LayerNorm(d)
            self.uvqk = torch.nn.Linear(d, 4 * d)
            self.mixed_norm = torch.nn.LayerNorm(d)
            self.out = torch.nn.Linear(d, d)
            self.place = torch.nn.Parameter(torch.randn(settings.length + 1) * BIAS_STD)
            self.time = torch.nn.Parameter(torch.randn(START_PAIR + 1, settings.heads) * BIAS_STD)
            self.drop = torch.nn.Dropout(settings.dropout)

        def forward(self, hidden: Any, pair: Any) -> Any:
            b, t, _ = hidden.shape
            gate, value, query, key = torch.nn.functional.silu(self.uvqk(self.norm(hidden))).split(d, dim=-1)
            value, query, key = (
                each.view(b, t, settings.heads, d // settings.heads).transpose(1, 2) for each in (value, query, key)
            )
            places = torch.arange(t, device=hidden.device)
            back = places[:, None] - places
            scores = query @ key.transpose(2, 3) + self.place[back.clamp(min=0)] + self.time[pair].permute(0, 3, 1, 2)
            share = (back >= 0) / (places[:, None] + 1)
            mixed = (torch.nn.functional.silu(scores) * share) @ value
            return self.out(self.drop(gate * self.mixed_norm(mixed.transpose(1, 2).reshape(b, t, d))))

    class Recurrence(torch.nn.Module):  # type: ignore[misc]
        """A linear recurrent unit (Orvieto et al., ICML 2023; of items: LRURec, Yue et al., WSDM 2024), in real numbers.

        It goes through a history in log2(t) steps: after the step of 2^k every place holds the last 2^(k + 1).
        """

        def __init__(self) -> None:
            super().__init__()
            width = 2 * d
            self.norm = torch.nn.LayerNorm(d)
            low, high = (each**2 for each in RING)
            radius = torch.sqrt(torch.rand(width) * (high - low) + low)
            self.nu = torch.nn.Parameter(torch.log(-torch.log(radius)))
            self.theta = torch.nn.Parameter(torch.log(torch.rand(width) * 2 * torch.pi))
            self.gamma = torch.nn.Parameter(torch.log(torch.sqrt(1 - radius**2)))
            self.into = torch.nn.Linear(d, 2 * width)
            self.out = torch.nn.Linear(2 * width, d)

        def forward(self, hidden: Any, _: None) -> Any:
            given = self.into(self.norm(hidden)) * torch.exp(self.gamma).repeat(2)
            real, imaginary = given.chunk(2, dim=-1)
            back = 1
            while back < hidden.shape[1]:
                size, angle = torch.exp(-torch.exp(self.nu) * back), torch.exp(self.theta) * back
                cosine, sine = size * torch.cos(angle), size * torch.sin(angle)
                before = [torch.nn.functional.pad(each[:, :-back], (0, 0, back, 0)) for each in (real, imaginary)]
                real = real + cosine * before[0] - sine * before[1]
                imaginary = imaginary + cosine * before[1] + sine * before[0]
                back *= 2
            return self.out(torch.cat((real, imaginary), dim=-1))

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
