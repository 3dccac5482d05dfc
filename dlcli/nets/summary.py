"""From a vector for each token to one for the whole text.

    sum, mean, max    of the real tokens, feature by feature
    first             the first token: a class token that was put there
    last              the last real token; of two directions, each where it ends
    attention         v = sum_t a_t v_t,   a = softmax(g(v_1), ..., g(v_T)),   g(v) = score(q, v)

Attention pooling learns with the classifier what to read: Yang et al. 2016 (NAACL); q (D,) is a weight and the score
one of `nets.scores`. x (B, T, D), mask (B, T) bool, True where a token is real, result (B, D).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from dlcli.nets.layers import choose
from dlcli.nets.scores import score as score_called


def real(x: Tensor) -> Tensor:
    """Return which tokens of (B, T) are real; of an empty text the first counts, so that it has one."""
    mask = x != 0
    mask[:, 0] = True
    return mask


class Sum(nn.Module):
    """Add up the tokens."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # (B, T, D), (B, T) -> (B, D)
        return (x * mask[..., None]).sum(1)


class Mean(Sum):
    """Average the tokens."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # (B, T, D), (B, T) -> (B, D)
        return super().forward(x, mask) / mask.sum(1, keepdim=True)


class Max(nn.Module):
    """Take the largest value of each feature."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # (B, T, D), (B, T) -> (B, D)
        return x.masked_fill(~mask[..., None], -torch.inf).amax(1)


class First(nn.Module):
    """Take the first token."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # (B, T, D), (B, T) -> (B, D)
        return x[:, 0]


class Last(nn.Module):
    """Take the last token; where two directions stand side by side, the backward one ends at the first token."""

    def __init__(self, *, directions: int = 1):
        super().__init__()
        self.directions = directions

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # (B, T, D), (B, T) -> (B, D)
        last = x[torch.arange(len(x), device=x.device), mask.sum(1) - 1]
        if self.directions == 1:
            return last
        half = x.shape[-1] // 2
        return torch.cat((last[:, :half], x[:, 0, half:]), dim=1)


class Attention(nn.Module):
    """Weigh the tokens by how well each fits a learned question."""

    def __init__(self, *, width: int, score: str = "dot"):
        super().__init__()
        self.question = nn.Parameter(torch.randn(width) / width**0.5)
        self.score = score_called(score, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # (B, T, D), (B, T) -> (B, D)
        return (self.weights(x, mask)[..., None] * x).sum(1)

    def weights(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return the share of each token, (B, T); rows sum to one."""
        return self.score(self.question, x).masked_fill(~mask, -torch.inf).softmax(1)


SUMMARIES: dict[str, Callable[[int, str, int], nn.Module]] = {
    "sum": lambda width, score, directions: Sum(),
    "mean": lambda width, score, directions: Mean(),
    "max": lambda width, score, directions: Max(),
    "first": lambda width, score, directions: First(),
    "last": lambda width, score, directions: Last(directions=directions),
    "attention": lambda width, score, directions: Attention(width=width, score=score),
}


def summary(name: str, width: int, score: str = "dot", directions: int = 1) -> nn.Module:
    """Return the summary called `name` of tokens of `width` features; raise ConfigError if there is none."""
    return choose("pooling of tokens", name, SUMMARIES)(width, score, directions)
