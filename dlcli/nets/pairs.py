"""Nets that end in one linear map for each pair of classes, instead of one for each class.

    d_ij = w_ij h + b_ij = -d_ji         log odds of class i against class j, i < j
    P(i) = 1 / (1 + sum_(j != i) exp(-d_ij))

That is what the log odds of all pairs say of a class, and it is exact where they agree with each other (Price, Knerr,
Personnaz & Dreyfus 1995, "Pairwise neural network classifiers with probabilistic outputs"). With d_ij = z_i - z_j it is
the softmax of z; C (C - 1) / 2 free maps can separate more than C, each from its own point of view. Where they
disagree, the P(i) do not add up to one, and cross-entropy on log P(i) norms them. Pairwise linear classifiers: Knerr,
Personnaz & Dreyfus 1990; on handwritten digits LeCun et al. 1998.

h (B, D), C classes, log P (B, C).
"""

import torch
from torch import Tensor, nn

from dlcli.errors import ConfigError
from dlcli.nets.mlp import MLP


class Pairs(nn.Module):
    """A linear layer that tells classes apart two at a time, and says how probable that makes each of them."""

    row: Tensor  # (C, C), which of the maps compares i with j
    sign: Tensor  # (C, C), 1 where it speaks for i, -1 where it speaks for j, 0 for a class and itself

    def __init__(self, inputs: int, classes: int):
        super().__init__()
        if classes < 2:
            raise ConfigError(f"outputs={classes}: pairs need two classes or more")
        first, second = torch.triu_indices(classes, classes, offset=1)
        self.linear = nn.Linear(inputs, len(first))
        row, sign = torch.zeros(classes, classes, dtype=torch.long), torch.zeros(classes, classes)
        row[first, second] = row[second, first] = torch.arange(len(first))
        sign[first, second], sign[second, first] = 1.0, -1.0
        self.register_buffer("row", row, persistent=False)
        self.register_buffer("sign", sign, persistent=False)

    def forward(self, h: Tensor) -> Tensor:  # (B, D) -> (B, C)
        odds = self.linear(h)[:, self.row] * self.sign  # (B, C, C); exp(-odds) is 1 on the diagonal
        return -(-odds).logsumexp(2)


class PairwiseMLP(MLP):
    """Hidden layers of the given widths, or none, then a linear map for each pair of the `outputs` classes."""

    head = Pairs
