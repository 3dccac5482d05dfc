"""Boltzmann machine learning (Ackley, Hinton & Sejnowski 1985), by sampling or by summing over all settings.

    -d log p(v) / d w_ij = <s_i s_j>_free - <s_i s_j>_clamped          likewise for biases, with s_j = 1
    clamped: the visible units are an example;  free: the machine runs by itself

Both means are taken from Gibbs sweeps: the clamped one after annealing the hidden units from `hottest`, the free one
from chains that never start anew. `exact` sums over all 2^U settings instead, which up to `MOST` units can afford; so
the likelihood is measured exactly. s (B, U) visible units and then hidden ones, x (B, ...) with V numbers each.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dlcli.errors import ConfigError, DataError
from dlcli.model import Clock, Model, Update
from dlcli.models.partition import settings
from dlcli.samplers import Gibbs, Prior, chain, refuse_label

MOST = 16  # units
BURN_IN = 100  # sweeps from noise, where no sampler says how many


class BoltzmannLearning(Model):
    """Make pairs of units agree as often when the machine runs freely as they do when it sees an example."""

    net: Any
    chains: Tensor  # (chains, U)

    def __init__(
        self,
        *,
        net: nn.Module,
        chains: int = 100,
        sweeps: int = 5,
        hottest: float = 1.0,
        exact: bool = False,
        shape: Sequence[int] | None = None,
    ):
        super().__init__()
        self.net = net
        units = len(self.net.bias)
        if units > MOST:
            raise ConfigError(
                f"{self.net.visible} visible and {units - self.net.visible} hidden units: the sums over all settings "
                f"take at most {MOST} units together; use fewer model.net.hidden, smaller data (data=bars) or model=rbm"
            )
        if hottest > 1 and sweeps < 2 and not exact:
            raise ConfigError(
                f"model.sweeps={sweeps}: annealing from model.hottest={hottest:g} to 1 takes at least 2 sweeps; "
                "use model.sweeps=2, or model.hottest=1"
            )
        self.sweeps, self.hottest, self.exact = sweeps, hottest, exact
        self.shape = list(shape) if shape else [net.visible]
        self.register_buffer("chains", torch.rand(chains, units).round())

    def updates(self, batch: Any, clock: Clock) -> Iterator[Update]:
        with torch.no_grad(), torch.autocast(batch.x.device.type, enabled=False):
            v = self.read(batch.x)
            clamped, free = self.summed(v) if self.exact else self.drawn(v)
            slope = free - clamped  # (U, U), its diagonal that of the biases
            self.net.weight.grad = slope * self.net.mask
            self.net.bias.grad = slope.diagonal().clone()
        yield Update(None)

    def read(self, x: Tensor) -> Tensor:
        """Return binary visible units (B, V), drawn where x lies between 0 and 1. Raises DataError."""
        v = x.flatten(1)
        low, high = (bound.item() for bound in v.aminmax())
        if not 0 <= low <= high <= 1:
            raise DataError(
                f"inputs from {low:.3g} to {high:.3g}: binary units stand for probabilities, in [0, 1]; "
                "use model=rbm_gaussian, whose units are real numbers"
            )
        return torch.rand_like(v).lt_(v)

    def drawn(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """Return the clamped and the free means of s s' as the chains find them, (U, U) each."""
        hidden = torch.rand(len(v), len(self.net.bias) - v.shape[1], device=v.device).round()
        s = self.net.anneal(torch.cat([v, hidden], dim=1), self.sweeps, self.hottest, clamped=v.shape[1])
        free = self.chains.copy_(self.net.anneal(self.chains, self.sweeps))
        return s.T @ s / len(s), free.T @ free / len(free)

    def summed(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """Return the exact means of s s', (U, U) each."""
        joint = self.completions(v)
        share = (-self.net.energy(joint)).softmax(1) / len(v)  # (B, 2^H), P(h | v) of each example
        free = self.everything()
        mass = (-self.net.energy(free)).softmax(0)
        clamped = joint.flatten(0, 1).T @ (share.unsqueeze(-1) * joint).flatten(0, 1)
        return clamped, free.T @ (mass[:, None] * free)

    def completions(self, v: Tensor) -> Tensor:
        """Return examples with every setting of the hidden units, (B, V) -> (B, 2^H, U)."""
        h = torch.cat(settings(self.net.bias[v.shape[1] :]))
        return torch.cat([v[:, None].expand(-1, len(h), -1), h.expand(len(v), -1, -1)], dim=2)

    def everything(self) -> Tensor:
        """Return all settings of all units, (2^U, U)."""
        return torch.cat(settings(self.net.bias))

    def log_likelihood(self, v: Tensor) -> Tensor:
        """Return log p(v) of binary v, exactly, (B, V) -> (B,)."""
        log_z = (-self.net.energy(self.everything())).logsumexp(0)
        return (-self.net.energy(self.completions(v))).logsumexp(1) - log_z

    def measure(self, batch: Any) -> dict[str, Tensor]:
        with torch.autocast(batch.x.device.type, enabled=False):
            return {"loss": -self.log_likelihood(self.read(batch.x))}

    def sample(self, n: int, sampler: Any) -> Tensor:
        refuse_label(sampler, self)
        sampler = chain(sampler, BURN_IN)
        if not isinstance(sampler, Gibbs):
            raise ConfigError(
                f"sampler={type(sampler).__name__.lower()} walks between codes, and a Boltzmann machine has none; "
                "use sampler=gibbs"
            )
        noise = torch.rand(n, len(self.net.bias), device=self.chains.device).round()
        start = noise if sampler.start == "noise" else self.running(n)
        return self.net.anneal(start, sampler.steps, self.hottest)[:, : self.net.visible].view(-1, *self.shape)

    def running(self, n: int) -> Tensor:
        """Return where the chains of the training stand, again and again if they are fewer, (n, U)."""
        return self.chains[torch.arange(n, device=self.chains.device) % len(self.chains)]

    def show(self, batch: Any) -> dict[str, Tensor | str]:
        links = self.net.links().detach()
        shown = {"links": 0.5 + 0.5 * links[None, None] / links.abs().max().clamp(min=1e-12)}  # zero as mid-grey
        if len(self.shape) == 3:
            shown["samples"] = self.sample(64, Prior())
        return shown
