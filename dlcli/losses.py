"""Likelihoods and divergences, one value per example.

B batch, K importance samples, Z latent. All values are in nats (natural logarithm).
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from dlcli.errors import ConfigError


def single(x: Tensor) -> Tensor:
    """Return half precision in single precision, and other numbers as they are: eight bits are too few for log p."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def gaussian_kl(mean: Tensor, logvar: Tensor) -> Tensor:
    """Return KL(N(mean, variance) || N(0, 1)) = 1/2 sum (mean^2 + variance - 1 - log variance), (B, Z) -> (B,)."""
    return 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum(dim=-1)


def gaussian_log_density(x: Tensor, mean: Tensor | float = 0.0, logvar: Tensor | float = 0.0) -> Tensor:
    """Return log N(x; mean, exp(logvar)), summed over the last dimension."""
    logvar = torch.as_tensor(logvar, dtype=x.dtype, device=x.device)
    return -0.5 * (math.log(2 * math.pi) + logvar + (x - mean).square() / logvar.exp()).sum(dim=-1)


def bernoulli_log_likelihood(logits: Tensor, x: Tensor) -> Tensor:
    """Return log p(x) of independent pixels that are on with probability sigmoid(logits), (B, ...) -> (B,).

    For grey pixels in (0, 1) this is the usual cross-entropy, not a normalized density.
    """
    return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(dim=1)


def gaussian_log_likelihood(mean: Tensor, x: Tensor, scale: float = 1.0) -> Tensor:
    """Return log p(x) of independent numbers with the standard deviation `scale`, (B, ...) -> (B,)."""
    return gaussian_log_density(x.flatten(1), mean.flatten(1), 2 * math.log(scale))


def log_mean_exp(values: Tensor, dim: int = 0) -> Tensor:
    """Return log of the mean of exp(values), without overflow: the bound of importance sampling."""
    return values.logsumexp(dim) - math.log(values.shape[dim])


def likelihood(name: str, scale: float = 1.0) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the log-likelihood called `name`, a function of the decoder's output and x."""
    if name == "bernoulli":
        return bernoulli_log_likelihood
    if name == "gaussian":
        return lambda mean, x: gaussian_log_likelihood(mean, x, scale)
    raise ConfigError(f"unknown likelihood {name!r}: choose bernoulli (pixels in [0, 1]) or gaussian (any numbers)")
