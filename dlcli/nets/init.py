"""How weights start: each class is a recipe that is called on a whole model.

A recipe fills the weights that it fits (those with two or more dimensions, unless it says otherwise) and zeroes the
biases beside them; norms and everything else keep what torch gave them.

fan in: the numbers that one unit reads; fan out: the units that read one number. A uniform distribution on
[-a, a] has the variance a^2 / 3.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Default:
    """Leave the weights as torch made them: uniform, variance 1 / (3 fan in)."""

    def __call__(self, module: nn.Module) -> None:
        """Change nothing."""


@dataclass(frozen=True)
class Init:
    """Fill each fitting weight, and zero the biases beside it."""

    def fits(self, weight: Tensor) -> bool:
        """Tell whether this recipe is meant for such a weight."""
        return weight.dim() >= 2

    def fill(self, weight: Tensor) -> None:
        """Write the starting values."""
        raise NotImplementedError

    @torch.no_grad()
    def __call__(self, module: nn.Module) -> None:
        for layer in module.modules():
            own = dict(layer.named_parameters(recurse=False))
            weights = [weight for weight in own.values() if self.fits(weight)]
            for weight in weights:
                self.fill(weight)
            for name, bias in own.items():
                if weights and "bias" in name:
                    bias.zero_()


@dataclass(frozen=True)
class Xavier(Init):
    """Glorot & Bengio 2010: variance 2 / (fan in + fan out), uniform; for tanh and sigmoid."""

    gain: float = 1.0

    def fill(self, weight: Tensor) -> None:
        nn.init.xavier_uniform_(weight, gain=self.gain)


@dataclass(frozen=True)
class He(Init):
    """He et al. 2015 (arXiv:1502.01852): variance 2 / fan in, normal; for ReLU."""

    def fill(self, weight: Tensor) -> None:
        nn.init.kaiming_normal_(weight, nonlinearity="relu")


@dataclass(frozen=True)
class LeCun(Init):
    """LeCun et al. 1998: variance 1 / fan in, normal; for linear units and SELU."""

    def fill(self, weight: Tensor) -> None:
        nn.init.kaiming_normal_(weight, nonlinearity="linear")


@dataclass(frozen=True)
class Normal(Init):
    """Small random numbers, as for RBMs (Hinton 2010): variance std^2 whatever the layer's size."""

    std: float = 0.01

    def fill(self, weight: Tensor) -> None:
        nn.init.normal_(weight, std=self.std)


@dataclass(frozen=True)
class Uniform(Init):
    """Uniform on +-scale / sqrt(fan in): variance scale^2 / (3 fan in), so sqrt(3) is LeCun's and sqrt(6) is He's."""

    scale: float = 1.0

    def fill(self, weight: Tensor) -> None:
        bound = self.scale / (weight[0].numel() ** 0.5)
        nn.init.uniform_(weight, -bound, bound)


@dataclass(frozen=True)
class Sparse(Init):
    """Martens 2010: in each column of a matrix a share of zeros, the rest normal; matrices only."""

    sparsity: float = 0.9
    std: float = 0.1

    def fits(self, weight: Tensor) -> bool:
        return weight.dim() == 2

    def fill(self, weight: Tensor) -> None:
        nn.init.sparse_(weight, sparsity=self.sparsity, std=self.std)


@dataclass(frozen=True)
class Dirac(Init):
    """Pass the input channels on unchanged, as far as there are channels; convolutions only."""

    def fits(self, weight: Tensor) -> bool:
        return weight.dim() >= 3

    def fill(self, weight: Tensor) -> None:
        nn.init.dirac_(weight)


@dataclass(frozen=True)
class Orthogonal(Init):
    """Saxe et al. 2014 (arXiv:1312.6120): rows or columns orthonormal, times `gain`."""

    gain: float = 1.0

    def fill(self, weight: Tensor) -> None:
        nn.init.orthogonal_(weight, gain=self.gain)


@dataclass(frozen=True)
class Zeros(Init):
    """All weights zero: fine for one linear layer; the hidden units of a deeper net would stay alike."""

    def fill(self, weight: Tensor) -> None:
        weight.zero_()
