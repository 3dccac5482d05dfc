"""Where a token stands: attention sees a set, so its place must be told.

sinusoidal: Vaswani et al. 2017 (arXiv:1706.03762)      P[t, 2i] = sin(t / 10000^(2i/D)), P[t, 2i+1] = cos of the same
learned:    Gehring et al. 2017 (arXiv:1705.03122)      P is a parameter, one row per place
rotary:     Su et al. 2021 (arXiv:2104.09864)           queries and keys turn by their place; nothing is added
none:       a causal net can tell places apart without  (Haviv et al. 2022, arXiv:2203.16634)

P (T, D) is added to the embedded tokens (B, T, D). B batch, H heads, T time, D width, d width of a head.
"""

import torch
from torch import Tensor, nn

from dlcli.errors import ConfigError
from dlcli.nets.layers import choose

KINDS = {"learned": True, "sinusoidal": True, "none": False, "rotary": False}  # which of them add a table


def sinusoids(context: int, width: int, base: float = 10_000.0) -> Tensor:
    """Return waves of geometrically growing length over the places, (T, D): sines and cosines in turn."""
    speed = base ** -(torch.arange(0, width, 2) / width)
    angle = torch.arange(context)[:, None] * speed  # (T, D/2)
    return torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1)[:, :width]


def rotate(x: Tensor, start: int = 0, base: float = 10_000.0) -> Tensor:
    """Turn each pair of features of x (B, H, T, d) by its place, so that scores tell distances.

    The pair (x[i], x[i + d/2]) turns by (start + t) * base^(-2i/d).
    """
    steps, width = x.shape[-2:]
    speed = base ** -(torch.arange(0, width, 2, device=x.device) / width)
    angle = torch.arange(start, start + steps, device=x.device)[:, None] * speed  # (T, d/2)
    cosine, sine = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cosine - second * sine, first * sine + second * cosine), dim=-1)


class Positions(nn.Module):
    """Add the place of each token to its features; `context` is the number of places that there are."""

    table: Tensor | None

    def __init__(self, *, kind: str = "learned", context: int, width: int):
        super().__init__()
        self.context, self.adds = context, choose("positions", kind, KINDS)
        if kind == "learned":
            self.table = nn.Parameter(0.02 * torch.randn(context, width))
        else:  # a formula need not be saved
            self.register_buffer("table", sinusoids(context, width) if self.adds else None, persistent=False)

    def forward(self, x: Tensor, start: int = 0) -> Tensor:  # (B, T, D) -> (B, T, D)
        if self.table is None:
            return x
        end = start + x.shape[1]
        if end > self.context:
            raise ConfigError(
                f"{end} tokens given to a net for at most {self.context}; shorten them, or build it longer"
            )
        return x + self.table[start:end]
