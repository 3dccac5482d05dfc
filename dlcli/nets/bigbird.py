"""Sparse attention at a cost that grows with the length of a text, not with its square (BigBird).

Zaheer et al. 2020 (arXiv:2007.14062). A token sees

    global   the first g tokens, which see all tokens themselves
    window   itself and its neighbours, w tokens in all
    random   r others, drawn once by a seed

so that T (g + w + r) scores are computed in place of T^2. Here g = 2, w = 3, r = 2, as the lecture draws it. The other
tokens gather the few keys that they see; what is gathered, and what a mask over all T^2 scores would give, agree.

`index` (T, K), K = g + w + r: which token stands at each place that a token looks at; -1: none (beyond an end, or
twice). query, key, value (B, H, T, d), mask (B, T) bool, True where a token is real.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from dlcli.errors import ConfigError
from dlcli.nets.attention import MultiHead, attend

RANDOM, WINDOW, GLOBAL = 2, 3, 2


def neighbours(
    length: int, random: int = RANDOM, window: int = WINDOW, everywhere: int = GLOBAL, seed: int = 0
) -> Tensor:
    """Return which tokens each token sees, (T, g + w + r) int64; -1 where a place is empty."""
    if window % 2 == 0 or min(random, everywhere) < 0:
        raise ConfigError(f"window={window}, random={random}, globals={everywhere}: an odd window, counts of 0 or more")
    token = torch.arange(length)[:, None]
    first = torch.arange(everywhere).expand(length, -1)
    near = token + torch.arange(window) - window // 2  # (T, w)
    near = near.masked_fill((near < everywhere) | (near >= length), -1)
    return torch.cat((first.masked_fill(first >= length, -1), near, others(near, random, everywhere, seed)), dim=1)


def others(near: Tensor, count: int, everywhere: int, seed: int) -> Tensor:
    """Draw `count` different tokens for each that are neither global nor in its window (Floyd's method), (T, r)."""
    length, inside = len(near), (near >= 0).sum(1)
    left = length - everywhere - inside  # how many there are to draw from
    start = torch.where(near >= 0, near, length).amin(1, keepdim=True)  # of the window
    rank = torch.full((length, 0), -1)
    generator = torch.Generator().manual_seed(seed)
    for last in ((left - count + j)[:, None] for j in range(count)):
        drawn = (torch.rand(length, 1, generator=generator, dtype=torch.double) * (last + 1)).long()
        drawn = torch.where((rank == drawn).any(1, keepdim=True), last, drawn)
        rank = torch.cat((rank, drawn.masked_fill(last < 0, -1)), dim=1)
    found = everywhere + rank
    return torch.where(rank < 0, -1, found + (found >= start) * inside[:, None])


def pattern(index: Tensor, everywhere: int = GLOBAL) -> Tensor:
    """Return the same as a mask over all pairs, (T, T) bool: the reference, whose cost grows with the square."""
    length = len(index)
    seen = torch.zeros(length, length + 1, dtype=torch.bool, device=index.device)
    seen.scatter_(1, torch.where(index < 0, length, index), True)
    seen[:everywhere] = True
    return seen[:, :length]


def sparse_attend(
    query: Tensor, key: Tensor, value: Tensor, index: Tensor, mask: Tensor | None = None, everywhere: int = GLOBAL
) -> Tensor:
    """Return what each query is answered, (B, H, T, d), at a cost linear in T."""
    first = attend(query[:, :, :everywhere], key, value, mask)  # (B, H, g, d)
    index = index[everywhere:]
    place = index.clamp(min=0)  # (T - g, K)
    seen = (index >= 0)[None, None]  # (1, 1, T - g, K)
    if mask is not None:  # a token that only fills up sees at least itself: a softmax over nothing is no number
        own = index == torch.arange(everywhere, everywhere + len(index), device=index.device)[:, None]
        seen = seen & (mask[:, place] | own)[:, None]
    scores = (key[:, :, place] @ query[:, :, everywhere:, :, None]).squeeze(-1) / query.shape[-1] ** 0.5
    weights = scores.masked_fill(~seen, -torch.inf).softmax(-1)  # (B, H, T - g, K)
    rest = (weights[..., None, :] @ value[:, :, place]).squeeze(-2)
    return torch.cat((first, rest), dim=2)


class BigBird(MultiHead):
    """Heads that attend sparsely; `context` is the largest number of tokens, `seed` says which random ones are seen."""

    index: Tensor

    def __init__(self, *, context: int, seed: int = 0, **options: Any):
        super().__init__(**options)
        self.register_buffer("index", neighbours(context, seed=seed), persistent=False)  # a formula need not be saved

    def forward(
        self,
        x: Tensor,
        source: Tensor | None = None,
        mask: Tensor | None = None,
        causal: bool = False,
        cache: Any = None,
    ) -> Tensor:  # (B, T, D) -> (B, T, D)
        if source is not None or causal or cache is not None:
            raise ConfigError("sparse attention looks at one whole text: no source, no causal mask, no cache")
        index = self.index[: x.shape[1]]
        index = torch.where(index < x.shape[1], index, -1)
        found = sparse_attend(*self.project(x, None, None), index, mask)
        return self.output(F.dropout(found, self.dropout, self.training).transpose(1, 2).flatten(2))

    def weights(
        self, x: Tensor, source: Tensor | None = None, mask: Tensor | None = None, causal: bool = False
    ) -> Tensor:
        """Return how each head shares its attention, (B, H, T, T)."""
        query, key, _ = self.project(x, None, None)
        index = self.index[: x.shape[1]]
        seen = pattern(torch.where(index < x.shape[1], index, -1))
        seen = seen if mask is None else seen & mask[:, None, None]
        scores = query @ key.mT / query.shape[-1] ** 0.5
        return scores.masked_fill(~seen, -torch.inf).softmax(-1).nan_to_num()
