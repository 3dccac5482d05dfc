"""The importance weighted autoencoder (Burda, Grosse & Salakhutdinov 2016, arXiv:1509.00519).

    L_K = E log 1/K sum_k w_k,   w_k = p(x|z_k) p(z_k) / q(z_k|x),   z_k ~ q(z|x)
    ELBO = L_1 <= L_2 <= ... -> log p(x);        gradient of L_K: sum_k w_k / (sum_j w_j) * gradient of log w_k

x (B, C, H, W) or (B, D); z (K, B, Z), log w (K, B). All values in nats per example.
"""

from typing import Any

from torch import Tensor, nn

from dlcli.losses import log_mean_exp
from dlcli.models.vae import VAE


class IWAE(VAE):
    """A VAE that learns from `samples` codes of each example at once, hence by a tighter bound."""

    def __init__(
        self,
        *,
        encoder: nn.Module,
        decoder: nn.Module,
        latent: int,
        samples: int = 5,
        likelihood: str = "bernoulli",
        importance: int = 100,
        scale: float = 1.0,
    ):
        super().__init__(
            encoder=encoder, decoder=decoder, latent=latent, likelihood=likelihood, importance=importance, scale=scale
        )
        self.samples = samples

    def bound(self, x: Tensor) -> Tensor:
        """Return L_K of each example, (B, ...) -> (B,)."""
        mean, logvar = self.posterior(x)
        return log_mean_exp(self.log_weights(x, mean.expand(self.samples, -1, -1), logvar))

    def loss(self, batch: Any, weight: float = 1.0) -> Tensor:
        return -self.bound(batch.x).mean()

    def measure(self, batch: Any) -> dict[str, Tensor]:
        return {**super().measure(batch), "loss": -self.bound(batch.x)}
