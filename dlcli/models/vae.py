"""The variational autoencoder (Kingma & Welling 2014, arXiv:1312.6114).

    -ELBO = -log p(x|z) + KL(q(z|x) || N(0, 1)),   z = mean + exp(logvar / 2) * noise,   q(z|x) = N(mean, exp(logvar))
    log p(x) ~ log 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x),   z_k ~ q(z|x)      (Burda et al. 2016, arXiv:1509.00519)

x (B, C, H, W) or (B, D); mean, logvar, z (B, Z). All values in nats per example. The weight beta of the KL term
(Higgins et al. 2017) rises from 0 over the first `warmup` share of the run (Sonderby et al. 2016, arXiv:1602.02282).
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from dlcli import figures, losses
from dlcli.losses import gaussian_kl, gaussian_log_density, log_mean_exp
from dlcli.model import Clock, Model, Update
from dlcli.samplers import Prior

ELEMENTS = 2**24  # how many numbers one call of the decoder may put out (64 MiB), whatever the number of samples


class VAE(Model):
    """Learn to encode examples in Z numbers, and to generate new ones from Z normal random numbers."""

    def __init__(
        self,
        *,
        encoder: nn.Module,
        decoder: nn.Module,
        latent: int,
        likelihood: str = "bernoulli",
        beta: float = 1.0,
        warmup: float = 0.0,
        importance: int = 100,
        scale: float = 1.0,
    ):
        super().__init__()
        self.encoder, self.decoder, self.latent = encoder, decoder, latent
        self.bernoulli = likelihood == "bernoulli"
        self.log_likelihood = losses.likelihood(likelihood, scale)
        self.beta, self.warmup, self.importance = beta, warmup, importance

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of q(z|x), (B, Z) each."""
        mean, logvar = self.encoder(x).float().chunk(2, dim=1)
        return mean, logvar

    def decode(self, z: Tensor) -> Tensor:
        """Return the mean of p(x|z), in the shape of x."""
        output = self.decoder(z)
        return output.sigmoid() if self.bernoulli else output

    def terms(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return -log p(x|z) for one z of q(z|x), KL(q(z|x) || N(0, 1)) and the posterior mean: (B,), (B,), (B, Z)."""
        mean, logvar = self.posterior(x)
        z = draw(mean, logvar)
        return -self.log_likelihood(self.decoder(z).float(), x), gaussian_kl(mean, logvar), mean

    def loss(self, batch: Any, weight: float = 1.0) -> Tensor:
        reconstruction, kl, _ = self.terms(batch.x)
        return (reconstruction + weight * kl).mean()

    def updates(self, batch: Any, clock: Clock) -> Iterator[Update]:
        rise = min(1.0, clock.progress / self.warmup) if self.warmup else 1.0
        yield Update(self.loss(batch, self.beta * rise))

    def measure(self, batch: Any) -> dict[str, Tensor]:
        reconstruction, kl, mean = self.terms(batch.x)
        loss = reconstruction + kl
        # the examples themselves are kept for `report`, whose importance sampling is too slow for every epoch
        return {"loss": loss, "reconstruction": reconstruction, "kl": kl, "mean": mean, "x": batch.x, "truth": batch.y}

    def score(self, measured: dict[str, Tensor]) -> dict[str, float]:
        return {name: measured[name].double().mean().item() for name in ("loss", "reconstruction", "kl")}

    def report(self, measured: dict[str, Tensor]) -> dict[str, Any]:
        device = next(self.parameters()).device
        nll = torch.cat([self.nll(x.to(device)).cpu() for x in measured["x"].split(256)]).double()
        mean, truth = measured["mean"].float(), measured["truth"]
        found = {
            "nll": nll.mean().item(),
            "nll_standard_error": (nll.std(correction=0) / len(nll) ** 0.5).item(),
            "importance_samples": self.importance,
            # a unit whose mean hardly depends on x carries nothing (Burda et al. 2016)
            "active_units": int((mean.var(dim=0, correction=0) > 0.01).sum()),
        }
        kinds = None if truth.is_floating_point() else truth
        return {**found, "latent": figures.embedding(mean, kinds)} if self.latent == 2 else found

    @torch.no_grad()
    def nll(self, x: Tensor, samples: int | None = None) -> Tensor:
        """Estimate -log p(x) of each example by importance sampling, (B, ...) -> (B,).

        The estimate is too high on average, and falls to the truth as `samples` (default: `importance`) grows.
        """
        samples = samples or self.importance
        mean, logvar = self.posterior(x)
        chunk = max(1, ELEMENTS // x.numel())
        sizes = [min(chunk, samples - done) for done in range(0, samples, chunk)]
        weights = [self.log_weights(x, mean.expand(size, -1, -1), logvar) for size in sizes]
        return -log_mean_exp(torch.cat(weights))

    def log_weights(self, x: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
        """Return log p(x|z) + log p(z) - log q(z|x) for one z of each posterior mean, (K, B, Z) -> (K, B)."""
        z = draw(mean, logvar)
        output = self.decoder(z.flatten(0, 1)).float()
        fit = self.log_likelihood(output, x.expand(len(z), *x.shape).flatten(0, 1)).view(len(z), -1)
        return fit + gaussian_log_density(z) - gaussian_log_density(z, mean, logvar)

    def show(self, batch: Any) -> dict[str, Tensor | str]:
        if batch.x.dim() != 4:
            return {}
        x = batch.x[:32]
        rebuilt = self.decode(self.posterior(x)[0]).clamp(0, 1)
        rows = zip(x.split(8), rebuilt.split(8), strict=True)  # a row of examples, below it what became of them
        return {
            "reconstruction": torch.cat([picture for pair in rows for picture in pair]),
            "samples": self.sample(32, Prior()).clamp(0, 1),
        }

    def embed(self, batch: Any) -> Tensor:
        return self.posterior(batch.x)[0]

    def sample(self, n: int, sampler: Any) -> Tensor:
        z = sampler(n, self.latent)
        return self.decode(z.to(next(self.parameters()).device))


def draw(mean: Tensor, logvar: Tensor) -> Tensor:
    """Draw from N(mean, exp(logvar)) so that gradients reach both (the reparametrization trick)."""
    return mean + (0.5 * logvar).exp() * torch.randn_like(mean)
