"""What keeps a code from copying its input: few active units, or units that hardly follow the input.

    L1           weight * sum_j |h_j|                                                      (Olshausen & Field 1996)
    Sparsity     weight * sum_j KL(target || mean over the batch of h_j),  h_j in (0, 1)   (Ng 2011, CS294A notes)
    Contraction  weight * sum_ij (dh_j / dx_i)^2                                           (Rifai et al. 2011, ICML)

x (B, ...), codes h (B, Z). Each is called as `penalty(encoder, x, h)` and returns one value per example, (B,), on the
scale of errors that are summed over the numbers of an example; in single precision whatever the precision of the run.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dlcli.errors import ConfigError
from dlcli.losses import single

Encoder = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Free:
    """Ask nothing of the codes."""

    def __call__(self, encoder: Encoder, x: Tensor, h: Tensor) -> Tensor:
        return h.new_zeros(len(h))


@dataclass(frozen=True, kw_only=True)
class L1:
    """Charge for every activation by its size."""

    weight: float = 0.1

    def __call__(self, encoder: Encoder, x: Tensor, h: Tensor) -> Tensor:
        return self.weight * single(h).abs().sum(1)


@dataclass(frozen=True, kw_only=True)
class Sparsity:
    """Charge for units that are on more or less often than a `target` share; the codes must be sigmoids."""

    weight: float = 1.0
    target: float = 0.05

    def __call__(self, encoder: Encoder, x: Tensor, h: Tensor) -> Tensor:
        mean = single(h).mean(0)  # (Z,)
        if bool((mean < 0).any() | (mean > 1).any()):
            raise ConfigError(
                "penalty=sparsity compares mean activations with a probability, and these leave [0, 1]; "
                "set model.encoder.code=sigmoid, or take penalty=l1"
            )
        mean = mean.clamp(1e-6, 1 - 1e-6)
        on = self.target * (self.target / mean).log()
        off = (1 - self.target) * ((1 - self.target) / (1 - mean)).log()
        return (self.weight * (on + off).sum()).expand(len(h))


@dataclass(frozen=True, kw_only=True)
class Contraction:
    """Charge for the squared Frobenius norm of the encoder's Jacobian.

    An encoder that knows a closed form says so by a method `contraction(x, h)`. For others one random direction v per
    example gives an estimate without bias, since the mean of |v J|^2 over v ~ N(0, 1) is |J|^2.
    """

    weight: float = 0.1

    def __call__(self, encoder: Encoder, x: Tensor, h: Tensor) -> Tensor:
        exact = getattr(encoder, "contraction", lambda x, h: None)(x, h)
        return self.weight * (estimate(encoder, x) if exact is None else exact)


def estimate(encoder: Encoder, x: Tensor) -> Tensor:
    """Return |v J|^2 for one random v of each example, (B, ...) -> (B,); it can be differentiated again."""
    learning = torch.is_grad_enabled()
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        h = encoder(x)
        (slope,) = torch.autograd.grad(h, x, torch.randn_like(h), create_graph=learning)
    return slope.flatten(1).square().sum(1)
