"""Bags of n-grams: short phrases get vectors of their own, so that a sum tells "not great" from "great".

    v = sum_t e(x_t) + sum of e'(hash(g)) over the n-grams g of the text,   n = 2 ... N;   logits = head(v)

A k-skip n-gram is n words of the text in their order with at most k others between the first and the last in all
(Guthrie et al. 2006): of "a b c d", the 1-skip 3-grams are abc, abd, acd, bcd. There are far more of them than words,
so that they share a table of fixed size by a hash of their words (Joulin et al. 2017, arXiv:1607.01759).

x (B, T) int64, 0 where a text has ended; e and e' (D,), v (B, D), logits (B, classes).
"""

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlcli.errors import ConfigError
from dlcli.nets.mlp import MLP
from dlcli.nets.text import embedding

FACTOR = 6364136223846793005  # of Knuth's MMIX generator: spreads neighbouring numbers over 64 bits
HIGH = 33  # the upper bits of a product are the well mixed ones


def gaps(n: int, skips: int) -> list[tuple[int, ...]]:
    """Return where the words of an n-gram stand, counted from its first, for all ways to skip up to `skips` words."""
    return [(0, *rest) for rest in combinations(range(1, n + skips), n - 1)]


class GramText(nn.Module):
    """Sum up the vectors of words and of n-grams up to `grams` words, which may skip `skips` words each."""

    def __init__(
        self,
        *,
        vocab: int,
        classes: int,
        width: int = 64,
        widths: Sequence[int] = (),
        grams: int = 2,
        skips: int = 0,
        buckets: int = 20_000,
        dropout: float = 0.0,
    ):
        super().__init__()
        if grams < 2 or skips < 0 or buckets < 1:
            raise ConfigError(
                f"grams={grams}, skips={skips}, buckets={buckets}: an n-gram has 2 words or more (model=text_sum has "
                "words alone), skips none or more, and has a bucket"
            )
        self.gaps = [places for n in range(2, grams + 1) for places in gaps(n, skips)]
        self.buckets = buckets
        self.embedding = embedding(vocab, width)
        self.phrases = embedding(buckets + 1, width)
        self.dropout = nn.Dropout(dropout)
        self.head = MLP(inputs=width, widths=widths, outputs=classes, dropout=dropout)

    def hashed(self, x: Tensor) -> Tensor:
        """Return the bucket of each n-gram, from 1, and 0 where a text ends before it, (B, T) -> (B, G, T)."""
        length = x.shape[1]
        x = F.pad(x, (0, max(places[-1] for places in self.gaps)))
        found = []
        for places in self.gaps:
            mixed, last = torch.zeros_like(x[:, :length]), x[:, places[-1] : places[-1] + length]
            for place in places:
                mixed = (mixed + x[:, place : place + length] + 1) * FACTOR  # beyond 64 bits it wraps around
            found.append(torch.where(last == 0, 0, (mixed >> HIGH) % self.buckets + 1))
        return torch.stack(found, 1)

    def forward(self, x: Tensor) -> Tensor:  # (B, T) -> (B, classes)
        words, phrases = self.total(self.embedding, x), self.total(self.phrases, self.hashed(x).flatten(1))
        return self.head(self.dropout(words + phrases))

    def total(self, table: nn.Embedding, x: Tensor) -> Tensor:
        """Return the sum of the vectors of all numbers but 0, (B, T) -> (B, D)."""
        return (self.dropout(table(x)) * (x != 0)[..., None]).sum(1)
