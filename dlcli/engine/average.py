"""An exponential moving average of the weights (Polyak & Juditsky 1992), which is evaluated in their place."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """average <- decay * average + (1 - decay) * weights, after every batch."""

    def __init__(self, model: nn.Module, decay: float):
        self.model, self.decay = model, decay
        self.weights = [p.detach().clone() for p in model.parameters()]

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the weights."""
        torch._foreach_lerp_(self.weights, [p.detach() for p in self.model.parameters()], 1 - self.decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the average in the place of the weights for a while."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange average and weights."""
        for mine, theirs in zip(self.weights, self.model.parameters(), strict=True):
            kept = mine.clone()
            mine.copy_(theirs)
            theirs.copy_(kept)

    def state(self) -> dict[str, Tensor]:
        """Return the average by number of the parameter."""
        return {str(i): value for i, value in enumerate(self.weights)}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take over a saved average."""
        for i, value in enumerate(self.weights):
            value.copy_(state[str(i)])
