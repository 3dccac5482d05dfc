"""word2vec: tell the company of a word from other words (Mikolov et al. 2013, arXiv:1301.3781, arXiv:1310.4546).

    skip-gram   -log s(u_j v_i) - k E_n log s(-u_n v_i)        for each j in the company of i
    CBOW        -log s(u_i h_i) - k E_n log s(-u_n h_i)        h_i the mean v_j over that company

s is the sigmoid, v the vectors of the table that is kept, u those of the other, n drawn in proportion to count^0.75. As
published the window of each word has a random size and frequent words are skipped at random; here pairs have the weight
that they would be left with on average, and only `shared` words n are drawn, which a whole batch is told from.

For skip-gram that is the cost on average, as it is a sum over pairs. For CBOW it is not: h is one mean with these
weights, not the mean of each draw. The published program closes the gaps of skipped words before it counts distances;
here they stay. Counts are of what was met so far: in the first epoch shares are estimates.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dlcli.errors import ConfigError
from dlcli.models.wordvectors import WordVectors

POWER = 0.75  # of the counts, by which wrong words are drawn


class SkipGram(WordVectors):
    """Tell each word of the company from the word in the middle."""

    def __init__(self, *, negatives: float = 5, shared: int = 256, subsample: float = 1e-3, **options: Any):
        super().__init__(**options)
        if negatives <= 0 or shared < 1 or subsample < 0:
            raise ConfigError(
                f"negatives={negatives}, shared={shared}, subsample={subsample}: the first is above 0, the second 1 or "
                "more, the third 0 (no word counts less) or more"
            )
        self.negatives, self.shared, self.subsample = negatives, shared, subsample

    def near(self, distance: Tensor) -> Tensor:
        return (self.window + 1 - distance) / self.window

    def pairs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        weight = self.kept(x)[:, :, None] * self.company(x) * self.kept(x)[:, None]
        costs = (weight * F.softplus(-self.net(x))).sum((1, 2))
        counted = weight.sum(2)  # (B, T)
        return costs + (counted * self.against(self.net.embedding(x))).sum(1), counted.sum(1)

    def kept(self, x: Tensor) -> Tensor:
        """Return how much each token counts: the less, the more frequent it is, min(1, sqrt(t / f) + t / f), (B, T)."""
        if not self.subsample:
            return torch.ones_like(x, dtype=torch.float)
        excess = self.subsample * self.seen.sum() / self.seen.clamp(min=1)  # (V,) t / f
        return (excess.sqrt() + excess).clamp(max=1)[x]

    def against(self, v: Tensor) -> Tensor:
        """Return k E_n of what it costs to tell (..., D) from other words: the mean over draws, else all words."""
        share = (self.seen + self.ordinary).pow(POWER) * self.ordinary  # each word at least once
        if self.training:
            drawn = share.multinomial(self.shared, replacement=True)
            return self.negatives * F.softplus(v @ self.net.context(drawn).T).mean(-1)
        return self.negatives * F.softplus(v @ self.net.context.weight.T) @ (share / share.sum())


class Cbow(SkipGram):
    """Tell the word in the middle from the mean of its company."""

    def pairs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        kept = self.kept(x)
        weight = self.company(x) * kept[:, None]
        total = weight.sum(2)  # (B, T)
        h = weight @ self.net.embedding(x) / total.clamp(min=1e-9)[..., None]
        costs = F.softplus(-(h * self.net.context(x)).sum(-1)) + self.against(h)
        counted = kept * (total > 0)
        return (counted * costs).sum(1), counted.sum(1)
