"""A text as one long row of tokens, which a language model reads through windows.

A window holds `context` tokens x and the `context` tokens y that follow each of them: y is x, moved by one. Windows at
rest lie one behind the other, so that every token but the first is to be predicted once; what the last one lacks is
filled with PAD, and IGNORED among the answers. N tokens, M windows, T context.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from dlcli.batch import IGNORED, PAD, Tokens


@dataclass(frozen=True, kw_only=True)
class Prose:
    """Hold the tokens of a text; in `carried` order each row of a batch goes on where it ended in the batch before."""

    tokens: Tensor  # (N,) int32
    context: int
    order: Literal["shuffled", "carried"] = "shuffled"

    @property
    def size(self) -> int:
        """The number of windows, the last one perhaps cut off."""
        return -(-(len(self.tokens) - 1) // self.context)

    @property
    def x(self) -> Tensor:
        """What is read, (M, T)."""
        return self._windows(self.tokens[:-1], PAD)

    @property
    def y(self) -> Tensor:
        """What is to be predicted, (M, T)."""
        return self._windows(self.tokens[1:], IGNORED)

    def __iter__(self) -> Iterator[Tensor]:
        """Yield what tells this text from another."""
        yield self.tokens

    def pick(self, rows: Tensor) -> Tokens:
        """Return the given windows."""
        place = rows[:, None] * self.context + torch.arange(self.context, device=rows.device)  # (B, T)
        last = len(self.tokens) - 1
        x, y = (self.tokens[(place + step).clamp(max=last)] for step in (0, 1))
        return Tokens(x.where(place < last, PAD), y.where(place < last, IGNORED))

    def drawn(self, starts: Tensor) -> Tokens:
        """Return whole windows that start at these tokens (B,)."""
        found = self.tokens[starts[:, None] + torch.arange(self.context + 1, device=starts.device)]  # (B, T + 1)
        return Tokens(found[:, :-1], found[:, 1:])

    def _windows(self, tokens: Tensor, filling: int) -> Tensor:
        return F.pad(tokens, (0, self.size * self.context - len(tokens)), value=filling).view(-1, self.context)
