"""The conditional variational autoencoder (Sohn, Lee & Yan 2015; Kingma et al. 2014, arXiv:1406.5298, model M2).

    log p(x|y) >= E_q(z|x,y) log p(x|z,y) - KL(q(z|x,y) || N(0, 1))

The class y enters both nets, so z need not tell it and is left with the style. x (B, C, H, W) or (B, D), y (B,), z
(B, Z); a code is z with the one-hot class behind it, (B, Z + C). The prior of z does not depend on the class.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dlcli.models.supervised import one_class
from dlcli.models.vae import VAE
from dlcli.samplers import Prior

ROW = 8  # samples of each class in the pictures of a training


class CVAE(VAE):
    """Learn to generate examples of a chosen class; `encoder` takes x and y, `decoder` the code."""

    def __init__(self, *, names: Sequence[str], **options: Any):
        super().__init__(**options)
        self.names = [str(name) for name in names]

    def posterior(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        mean, logvar = self.encoder(x, None if y is None else one_class(y)).float().chunk(2, dim=1)
        return mean, logvar

    def code(self, z: Tensor, y: Tensor | None = None) -> Tensor:  # (..., B, Z), (B,) -> (..., B, Z + C)
        assert y is not None
        kinds = F.one_hot(y, len(self.names)).to(z.dtype)
        return torch.cat([z, kinds.expand(*z.shape[:-1], -1)], -1)

    def rebuild(self, x: Tensor) -> Tensor:
        """Return what becomes of x at the posterior mean, given the class that explains it best."""
        y = self.likeliest(x)
        return self.decode(self.code(self.posterior(x, y)[0], y))

    def likeliest(self, x: Tensor) -> Tensor:
        """Return the class with the highest bound on log p(x|y) of each example, (B, ...) -> (B,)."""
        kinds = torch.arange(len(self.names), device=x.device)
        bounds = [torch.add(*self.terms(x, kind.expand(len(x)))[:2]) for kind in kinds]
        return torch.stack(bounds).argmin(0)

    def show(self, batch: Any) -> dict[str, Tensor | str]:
        shown = super().show(batch)
        return shown and {**shown, "samples": self.sample(ROW * len(self.names), Prior()).clamp(0, 1)}

    def sample(self, n: int, sampler: Any) -> Tensor:
        device = next(self.parameters()).device
        z, y = sampler(n, self.latent), sampler.labels(n, self.names)
        return self.decode(self.code(z.to(device), y.to(device)))
