"""GloVe: vectors whose products tell how often words occur together (Pennington, Socher & Manning 2014).

    sum_ij f(X_ij) (w_i u_j + b_i + c_j - log X_ij)^2,   f(X) = min(1, (X / most)^0.75),   X_ij = sum of 1 / distance

The first pass over the text counts X and takes no step (of a run of one epoch, the first half). Later ones go through
the text again, where the pair i, j turns up in proportion to X_ij: with the weight f(X_ij) / X_ij a pass is the sum
above. A word is w + u.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from dlcli.errors import ConfigError
from dlcli.model import Clock, Update
from dlcli.models.wordvectors import WordVectors, words

POWER = 0.75
LARGEST = 10_000  # words, whose counts take 400 MB


class Glove(WordVectors):
    """Learn the logarithm of the counts, which the first epoch takes."""

    local = WordVectors.local | {"together"}
    together: Tensor  # (V, V), X

    def __init__(self, *, most: float = 10, **options: Any):
        super().__init__(**options)
        vocab = len(self.seen)
        if vocab > LARGEST:
            raise ConfigError(f"counts of {vocab:,} words with each other are too many: data.source.size={LARGEST}")
        if most <= 0:
            raise ConfigError(f"most={most}: the count from which a pair has its full weight, above 0")
        self.most = most
        self.register_buffer("together", torch.zeros(vocab, vocab))

    def near(self, distance: Tensor) -> Tensor:
        return 1 / distance

    def vectors(self) -> Tensor:
        return self.net.embedding.weight + self.net.context.weight

    def ahead(self, clock: Clock) -> list[str]:
        return ["fitting"] if counting(clock) else []

    def updates(self, batch: Any, clock: Clock) -> Iterator[Update]:
        if not counting(clock):
            yield Update(self.loss(batch))
            return
        x = words(batch)
        self.count(x)
        self.together.view(-1).index_add_(0, self.cells(x).flatten(), self.company(x).flatten())

    def cells(self, x: Tensor) -> Tensor:
        """Return the cell of the counts to which each pair of places belongs, (B, T, T)."""
        return x[:, :, None] * len(self.seen) + x[:, None]

    def pairs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        count = self.together.view(-1)[self.cells(x)]
        near = self.company(x) * (count > 0)
        count = count.clamp(min=1e-9)
        error = self.net(x) - count.log()
        weight = near * (count / self.most).pow(POWER).clamp(max=1) / count
        return (weight * error.square()).sum((1, 2)), weight.sum((1, 2))


def counting(clock: Clock) -> bool:
    """Tell whether the counts are still being taken."""
    return clock.epoch == 0 and clock.progress < 0.5
