"""Gradient reversal (Ganin & Lempitsky 2015, arXiv:1409.7495): one backward pass serves two players.

    forward y = x,   backward dL/dx = -strength dL/dy

What lies before the layer climbs the loss that is descended behind it. x, y (B, ...).
"""

from typing import Any

import torch
from torch import Tensor, nn


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        return -ctx.strength * slope, None


class Reversal(nn.Module):
    """Pass x on unchanged, and turn the gradient round on its way back."""

    def __init__(self, *, strength: float = 1.0):
        super().__init__()
        self.strength = strength

    def forward(self, x: Tensor) -> Tensor:  # (B, ...) -> (B, ...)
        return _Reverse.apply(x, self.strength)  # type: ignore[no-any-return, no-untyped-call]
