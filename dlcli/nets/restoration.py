"""A net that corrects a picture: what it computes is added to what it was given (Kim et al. 2016, arXiv:1511.04587).

    output = x + gate net(x)

x (B, C, H, W). Noise, holes and missing detail are what the net must find; the rest of the picture is there already.
The gate, one learned number, is zero at first (Bachlechner et al. 2020, arXiv:2003.04887): the net begins with what
it was given, and need not first unlearn what its random weights add.
"""

import torch
from torch import Tensor, nn


class Correction(nn.Module):
    """Add to a picture what any net of the same output shape says."""

    def __init__(self, *, net: nn.Module):
        super().__init__()
        self.net = net
        self.gate = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C, H, W)
        return x + self.gate * self.net(x)
