"""The VQ-VAE: codes are entries of a learned codebook (van den Oord, Vinyals & Kavukcuoglu 2017, arXiv:1711.00937).

    u = encoder(x),   e = nearest entry,   z = u + sg[e - u]      (the gradient of z goes straight through to u)
    loss = -log p(x|z) + commitment |u - sg[e]|^2  (+ |sg[u] - e|^2 where the codebook is learned by its own loss)
    -log p(x) <= -log p(x|e) - log p(codes)        what is measured: the nats of the picture and those of its codes

x (B, C, H, W); u, e, z (B, D, h, w); codes (B, h, w) in 0..K-1; sg stops the gradient. All values in nats per example.
Codes drawn evenly decode to nonsense, so a prior over them learns at the same time, as a player of its own: it cannot
disturb the codes, and needs no stage. perplexity = exp(entropy of a split's codes): how many of the K are in use.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlcli import losses
from dlcli.errors import ConfigError
from dlcli.model import Clock, Model, Update
from dlcli.models.vae import pairs, require_probabilities
from dlcli.samplers import Prior


class VQVAE(Model):
    """Learn to encode pictures in a grid of codes, and to generate new ones from codes that the prior draws."""

    codebook: Any
    prior: Any

    def __init__(
        self,
        *,
        encoder: nn.Module,
        decoder: nn.Module,
        codebook: nn.Module,
        prior: nn.Module,
        likelihood: str = "bernoulli",
        scale: float = 1.0,
        commitment: float = 0.25,
    ):
        super().__init__()
        self.encoder, self.decoder, self.codebook, self.prior = encoder, decoder, codebook, prior
        self.bernoulli = likelihood == "bernoulli"
        self.log_likelihood = losses.likelihood(likelihood, scale)
        self.commitment = commitment

    @property
    def bits(self) -> int:
        """How many bits the codes of a picture take, h w ceil(log2 K); one each at least."""
        height, width = self.prior.grid
        return height * width * max(1, (len(self.codebook.vectors) - 1).bit_length())

    def players(self) -> dict[str, Iterable]:
        nets = [self.encoder, self.decoder, self.codebook]
        return {"model": [p for net in nets for p in net.parameters()], "prior": self.prior.parameters()}

    def updates(self, batch: Any, clock: Clock) -> Iterator[Update]:
        require_probabilities(batch.x, self.bernoulli and not clock.step)
        maps = self.encoder(batch.x)
        codes = self.codebook.nearest(maps)
        yield Update(self.autoencode(batch.x, maps, codes).mean())
        self.codebook.follow(maps.detach(), codes, clock.share)
        yield Update(self.surprise(codes).mean(), "prior")

    def autoencode(self, x: Tensor, maps: Tensor, codes: Tensor) -> Tensor:
        """Return the loss of encoder, decoder and codebook, (B,)."""
        entries = self.codebook(codes)
        straight = maps + (entries - maps).detach()
        loss = -self.log_likelihood(self.decoder(straight).float(), x) + self.commitment * apart(maps, entries.detach())
        return loss + apart(entries, maps.detach()) if entries.requires_grad else loss

    def surprise(self, codes: Tensor) -> Tensor:
        """Return -log p(codes) under the prior, (B, h, w) -> (B,)."""
        flat = codes.flatten(1)  # (B, T)
        return F.cross_entropy(self.prior(flat).float().transpose(1, 2), flat, reduction="none").sum(1)

    def measure(self, batch: Any) -> dict[str, Tensor]:
        require_probabilities(batch.x, self.bernoulli)
        maps = self.encoder(batch.x)
        codes = self.codebook.nearest(maps)
        entries, surprise = self.codebook(codes), self.surprise(codes)
        reconstruction = -self.log_likelihood(self.decoder(entries).float(), batch.x)
        terms = {"loss": reconstruction + surprise, "reconstruction": reconstruction, "prior": surprise}
        return {**terms, "distance": apart(maps, entries), "codes": codes}

    def score(self, measured: dict[str, Tensor]) -> dict[str, float]:
        means = {name: value.double().mean().item() for name, value in measured.items() if name != "codes"}
        return {**means, "perplexity": perplexity(measured["codes"])}

    def report(self, measured: dict[str, Tensor]) -> dict[str, Any]:
        codes = measured["codes"]
        return {"codes_in_use": len(codes.unique()), "codes_per_example": codes[0].numel()}

    def show(self, batch: Any) -> dict[str, Tensor | str]:
        rebuilt = self.rebuild(batch.x[:32]).clamp(0, 1)
        return {"reconstruction": pairs(batch.x[:32], rebuilt), "samples": self.sample(32, Prior()).clamp(0, 1)}

    def embed(self, batch: Any) -> Tensor:
        return self.codebook(self.codebook.nearest(self.encoder(batch.x))).flatten(1)  # (B, D h w)

    def decode(self, codes: Tensor) -> Tensor:
        """Return the mean of p(x|z) of vectors, codebook entries or others between them, (B, D h w)."""
        output = self.decoder(codes.view(len(codes), -1, *self.prior.grid))
        return output.sigmoid() if self.bernoulli else output

    def rebuild(self, x: Tensor) -> Tensor:
        """Return what becomes of x."""
        return self.decode(self.codebook(self.codebook.nearest(self.encoder(x))).flatten(1))

    def sample(self, n: int, sampler: Any) -> Tensor:
        if not isinstance(sampler, Prior) or sampler.label is not None:
            raise ConfigError(
                "the codes of a VQVAE come one after the other from its own prior over all classes: use sampler=prior "
                "(sampler.temperature below 1 draws the likelier ones)"
            )
        return self.decode(self.codebook(self.prior.sample(n, sampler.temperature)).flatten(1))


def apart(a: Tensor, b: Tensor) -> Tensor:
    """Return the squared distance of each pair of examples, (B, ...) -> (B,)."""
    return (a - b).square().flatten(1).sum(1)


def perplexity(codes: Tensor) -> float:
    """Return exp(entropy) of how often each code occurs: K if all are used alike, 1 if only one is."""
    shares = torch.bincount(codes.flatten()).double() / codes.numel()
    return math.exp(torch.special.entr(shares).sum().item())
