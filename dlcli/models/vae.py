"""The variational autoencoder (Kingma & Welling 2014, arXiv:1312.6114).

    -ELBO = -log p(x|z) + KL(q(z|x) || N(0, 1)),   z = mean + exp(logvar / 2) * noise,   q(z|x) = N(mean, exp(logvar))
    log p(x) ~ log 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x),   z_k ~ q(z|x)      (Burda et al. 2016, arXiv:1509.00519)

x (B, C, H, W) or (B, D); mean, logvar, z (B, Z). All values in nats per example. The weight beta of the KL term
(Higgins et al. 2017) rises from 0 over the first `warmup` share of the run (Sonderby et al. 2016, arXiv:1602.02282).
A subclass may give the class y (B,) to both nets: the decoder reads `code(z, y)`, which here is z itself.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from dlcli import figures, losses, samplers
from dlcli.errors import ConfigError, DataError
from dlcli.losses import gaussian_kl, gaussian_log_density, log_mean_exp
from dlcli.model import Clock, Model, Update
from dlcli.samplers import Prior

ELEMENTS = 2**24  # how many numbers one call of the decoder may put out (64 MiB), whatever the number of samples
ACTIVE = 0.01  # a unit whose mean varies less than this carries nothing (Burda et al. 2016)
PARTS = {"both": (1.0, 1.0), "reconstruction": (1.0, 0.0), "kl": (0.0, 1.0)}  # weights of the two terms


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
        parts: str = "both",
    ):
        super().__init__()
        if parts not in PARTS:
            raise ConfigError(f"parts={parts}: unknown; choose which terms are learned: {', '.join(PARTS)}")
        self.encoder, self.decoder, self.latent = encoder, decoder, latent
        self.bernoulli = likelihood == "bernoulli"
        self.log_likelihood = losses.likelihood(likelihood, scale)
        self.beta, self.warmup, self.importance, self.parts = beta, warmup, importance, PARTS[parts]

    def posterior(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of q(z|x), (B, Z) each."""
        mean, logvar = self.encoder(x).float().chunk(2, dim=1)
        return mean, logvar

    def code(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return what the decoder reads, (..., B, Z) -> (..., B, Z)."""
        return z

    def decode(self, codes: Tensor) -> Tensor:
        """Return the mean of p(x|z), in the shape of x."""
        output = self.decoder(codes)
        return output.sigmoid() if self.bernoulli else output

    def rebuild(self, x: Tensor) -> Tensor:
        """Return what becomes of x at the posterior mean, without noise."""
        return self.decode(self.posterior(x)[0])

    def terms(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return -log p(x|z) for one z of q(z|x), KL(q(z|x) || N(0, 1)), (B,) each; mean and logvar, (B, Z) each."""
        mean, logvar = self.posterior(x, y)
        z = draw(mean, logvar)
        fit = self.log_likelihood(self.decoder(self.code(z, y)).float(), x)
        return -fit, gaussian_kl(mean, logvar), mean, logvar

    def loss(self, batch: Any, weight: float = 1.0) -> Tensor:
        reconstruction, kl, *_ = self.terms(batch.x, batch.y)
        return self.total(reconstruction, weight * kl).mean()

    def total(self, reconstruction: Tensor, kl: Tensor) -> Tensor:
        """Return the sum of the terms that are learned."""
        return self.parts[0] * reconstruction + self.parts[1] * kl

    def updates(self, batch: Any, clock: Clock) -> Iterator[Update]:
        require_probabilities(batch.x, self.bernoulli and not clock.step)
        rise = min(1.0, clock.progress / self.warmup) if self.warmup else 1.0
        yield Update(self.loss(batch, self.beta * rise))

    def measure(self, batch: Any) -> dict[str, Tensor]:
        require_probabilities(batch.x, self.bernoulli)
        reconstruction, kl, mean, logvar = self.terms(batch.x, batch.y)
        terms = {"loss": self.total(reconstruction, kl), "reconstruction": reconstruction, "kl": kl}
        # the examples themselves are kept for `report`, whose importance sampling is too slow for every epoch
        return {**terms, "mean": mean, "logvar": logvar, "x": batch.x, "truth": batch.y}

    def score(self, measured: dict[str, Tensor]) -> dict[str, float]:
        return {name: measured[name].double().mean().item() for name in ("loss", "reconstruction", "kl")}

    def report(self, measured: dict[str, Tensor]) -> dict[str, Any]:
        mean, logvar, truth = measured["mean"].float(), measured["logvar"].float(), measured["truth"]
        nll = self.all_nll(measured["x"], truth).double()
        spent = gaussian_kl(mean.unsqueeze(2), logvar.unsqueeze(2)).mean(0)  # (Z,): what each unit tells about x
        active = mean.var(dim=0, correction=0) > ACTIVE
        found = {
            "nll": nll.mean().item(),
            "nll_standard_error": (nll.std(correction=0) / len(nll) ** 0.5).item(),
            "importance_samples": self.importance,
            "active_units": int(active.sum()),
            "units": figures.units(spent, active),
        }
        if measured["x"].dim() == 4:
            found["traversal"] = figures.traversal(self.walk(measured["x"][:1], truth[:1], spent), spent)
        kinds = None if truth.is_floating_point() else truth
        points = draw(mean, logvar)  # not the means: without the KL term they say nothing of the width of q(z|x)
        title = "a code of each example, drawn from q(z|x)"
        return {**found, "latent": figures.embedding(points, kinds, title=title)} if self.latent == 2 else found

    def all_nll(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the estimates of `nll` for any number of examples, on the CPU."""
        device = next(self.parameters()).device
        pairs = zip(x.split(256), y.split(256), strict=True)
        return torch.cat([self.nll(some.to(device), y=kinds.to(device)).cpu() for some, kinds in pairs])

    @torch.no_grad()
    def nll(self, x: Tensor, samples: int | None = None, y: Tensor | None = None) -> Tensor:
        """Estimate -log p(x) of each example by importance sampling, (B, ...) -> (B,).

        The estimate is too high on average, and falls to the truth as `samples` (default: `importance`) grows.
        """
        samples = samples or self.importance
        mean, logvar = self.posterior(x, y)
        chunk = max(1, ELEMENTS // x.numel())
        sizes = [min(chunk, samples - done) for done in range(0, samples, chunk)]
        weights = [self.log_weights(x, mean.expand(size, -1, -1), logvar, y) for size in sizes]
        return -log_mean_exp(torch.cat(weights))

    def log_weights(self, x: Tensor, mean: Tensor, logvar: Tensor, y: Tensor | None = None) -> Tensor:
        """Return log p(x|z) + log p(z) - log q(z|x) for one z of each posterior mean, (K, B, Z) -> (K, B)."""
        z = draw(mean, logvar)
        output = self.decoder(self.code(z, y).flatten(0, 1)).float()
        fit = self.log_likelihood(output, x.expand(len(z), *x.shape).flatten(0, 1)).view(len(z), -1)
        return fit + gaussian_log_density(z) - gaussian_log_density(z, mean, logvar)

    @torch.no_grad()
    def walk(self, x: Tensor, y: Tensor, spent: Tensor) -> Tensor:
        """Vary one unit of the code of x (1, C, H, W), the most telling units first, (units, steps, C, H, W)."""
        device = next(self.parameters()).device
        start = self.code(self.posterior(x.to(device), y.to(device))[0], y.to(device))
        units = figures.telling(spent)
        codes = start.repeat(len(units), len(figures.WALK), 1)  # (units, steps, Z)
        for row, unit in enumerate(units.tolist()):
            codes[row, :, unit] = torch.tensor(figures.WALK)
        return self.decode(codes.flatten(0, 1)).unflatten(0, codes.shape[:2])

    def show(self, batch: Any) -> dict[str, Tensor | str]:
        if batch.x.dim() != 4:
            return {}
        rebuilt = self.decode(self.embed(batch)[:32]).clamp(0, 1)
        return {"reconstruction": pairs(batch.x[:32], rebuilt), "samples": self.sample(32, Prior()).clamp(0, 1)}

    def embed(self, batch: Any) -> Tensor:
        return self.code(self.posterior(batch.x, batch.y)[0], batch.y)

    def sample(self, n: int, sampler: Any) -> Tensor:
        samplers.refuse_label(sampler, self)
        z = sampler(n, self.latent)
        return self.decode(z.to(next(self.parameters()).device))


def draw(mean: Tensor, logvar: Tensor) -> Tensor:
    """Draw from N(mean, exp(logvar)) so that gradients reach both (the reparametrization trick)."""
    return mean + (0.5 * logvar).exp() * torch.randn_like(mean)


def pairs(x: Tensor, rebuilt: Tensor) -> Tensor:
    """Return rows of eight examples, below each the row of what became of them, (N, ...) -> (2 N, ...)."""
    rows = zip(x.split(8), rebuilt.split(8), strict=True)
    return torch.cat([row for pair in rows for row in pair])


def require_probabilities(x: Tensor, bernoulli: bool) -> None:
    """Raise DataError for numbers outside [0, 1] where a Bernoulli distribution is to explain them."""
    if not bernoulli:
        return
    low, high = x.aminmax()
    if not (low >= 0 and high <= 1):
        raise DataError(
            f"likelihood=bernoulli explains numbers in [0, 1], but the data reach from {low:.3g} to {high:.3g}; "
            "use model.likelihood=gaussian"
        )
