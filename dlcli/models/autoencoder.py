"""The autoencoder and its regularized kin: one rule, whose parts make the difference.

    h = encoder(corruption(x)),   loss = distance(decoder(h), x) + penalty(h)

x (B, C, H, W) or (B, D), codes h (B, Z). Without corruption and penalty the code must be smaller than x, else the net
may learn the identity. Undercomplete: Hinton & Salakhutdinov 2006 (Science 313); denoising: Vincent et al. 2008 (ICML);
sparse: Ng 2011 (CS294A notes); k-sparse: Makhzani & Frey 2014 (arXiv:1312.5663); contractive: Rifai et al. 2011 (ICML).

Codes have no prior here. A few codes of the last batches are kept, and samplers walk in units of their mean and
standard deviation: z ~ N(0, 1) decodes codes as large as real ones, and still mostly nonsense (see the VAE).
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from dlcli import figures
from dlcli.model import Clock, Update
from dlcli.models.rebuilding import ROW, Pass, Rebuilding
from dlcli.models.vae import require_probabilities
from dlcli.samplers import Interpolation, Prior, refuse_label

KEPT = 64  # codes of training examples


class Autoencoder(Rebuilding):
    """Learn to encode examples in Z numbers from which they can be rebuilt."""

    codes: Tensor

    def __init__(
        self,
        *,
        encoder: nn.Module,
        decoder: nn.Module,
        inputs: int,
        latent: int,
        corruption: Callable[[Tensor], Tensor] | None = None,
        penalty: Callable[[Any, Tensor, Tensor], Tensor] | None = None,
        likelihood: str = "gaussian",
        output: str = "sigmoid",
    ):
        super().__init__(corruption=corruption, likelihood=likelihood, output=output)
        self.encoder, self.decoder = encoder, decoder
        self.inputs, self.latent, self.penalty = inputs, latent, penalty
        self.register_buffer("codes", torch.zeros(KEPT, latent))

    def notes(self) -> list[str]:
        """Say what may go wrong with these values."""
        asked = type(self.penalty).__name__ not in ("NoneType", "Free") and getattr(self.penalty, "weight", 1) > 0
        silences = 0 < getattr(self.encoder, "active", 0) < self.latent
        if self.latent < self.inputs or self.corrupts or asked or silences:
            return []
        return [
            f"a code of {self.latent} numbers can hold all {self.inputs} of an example, so the net may learn the "
            "identity; take a smaller model.latent, corruption=gaussian, penalty=l1 or model.encoder.active=25"
        ]

    def through(self, x: Tensor) -> Pass:
        given = self.corrupted(x)
        code = self.encoder(given)
        output = self.decoder(code).float()
        loss = self.cost(output, x)
        return Pass(given, output, loss + self.penalty(self.encoder, given, code) if self.penalty else loss, code)

    def updates(self, batch: Any, clock: Clock) -> Iterator[Update]:
        require_probabilities(batch.x, self.bernoulli and not clock.step)
        found = self.through(batch.x)
        yield Update(found.loss.mean())
        assert found.code is not None
        self.codes.copy_(torch.cat([found.code.detach()[:KEPT].to(self.codes.dtype), self.codes])[:KEPT])

    def embed(self, batch: Any) -> Tensor:
        return self.encoder(batch.x)

    def decode(self, codes: Tensor) -> Tensor:
        """Return what codes (B, Z) stand for, in the shape of x."""
        return self.bound(self.decoder(codes))

    def rebuild(self, x: Tensor) -> Tensor:
        return self.decode(self.encoder(x))

    def report(self, measured: dict[str, Tensor]) -> dict[str, Any]:
        code = measured["code"].float()
        found = super().report(measured) | {
            "mean_activation": code.mean().item(),
            "active_share": (code.abs() > 0.1 * code.abs().max()).double().mean().item(),
        }
        kinds = None if measured["truth"].is_floating_point() else measured["truth"]
        return found | ({"latent": figures.embedding(code, kinds)} if self.latent == 2 else {})

    def show(self, batch: Any) -> dict[str, Tensor | str]:
        shown = super().show(batch)
        if not shown:
            return {}
        walks = {"random codes": Prior(), "between codes": Interpolation(steps=ROW, path="linear")}
        return shown | {name: self.sample(4 * ROW, sampler).clamp(0, 1) for name, sampler in walks.items()}

    def sample(self, n: int, sampler: Any) -> Tensor:
        refuse_label(sampler, self)
        mean, std = self.codes.mean(0), self.codes.std(0)

        def encode(count: int) -> Tensor:
            chosen = torch.randint(KEPT, (count,), device=mean.device)
            return (self.codes[chosen] - mean) / std.clamp_min(1e-6)

        return self.decode(mean + std * sampler(n, self.latent, encode).to(mean.device))
