"""Boundary equilibrium GAN (Berthelot, Schumm & Metz 2017, arXiv:1703.10717): the critic is an autoencoder.

    e(x) = mean_i |x_i - critic(x)_i|                       how badly an example is rebuilt
    critic     descends E e(x) - k E e(G(z))                 generator descends E e(G(z))
    k <- k + rate (balance E e(x) - E e(G(z))), in [0, 1], after both have moved
    convergence = E e(x) + |balance E e(x) - E e(G(z))|

x (B, ...) pixels. A small `balance` favours quality, a large one variety. k begins at 0: the critic first learns to
rebuild, and then to refuse. The paper's rate of 0.001 is for hundreds of thousands of steps. f = -e takes the place of
the critic's output elsewhere.

While k is zero nobody refuses anything, and the generator falls into the one picture that is rebuilt best. Two things
help: norms over the batch in both players, which set apart whatever the examples of a batch have in common, and a
critic with so small a code that it cannot rebuild everything, so that k stays above zero.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from dlcli.errors import ConfigError
from dlcli.model import Clock, Update
from dlcli.models.gan import GAN


class BEGAN(GAN):
    """A generator learns to make what an autoencoder rebuilds as well as real examples."""

    k: Tensor

    def __init__(
        self, *, generator: nn.Module, critic: nn.Module, latent: int, balance: float = 0.5, rate: float = 1e-3
    ):
        super().__init__(generator=generator, critic=critic, latent=latent, objective=None, regularizer=None)
        if not 0 < balance <= 1:
            raise ConfigError(f"balance={balance}: the errors of samples and real examples keep this ratio, in (0, 1]")
        self.balance, self.rate = balance, rate
        self.register_buffer("k", torch.zeros(()))

    def notes(self) -> list[str]:
        """Say nothing: there is no objective to fit."""
        return []

    def judge(self, x: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
        error = (self.critic(x).float() - x).abs().flatten(1)
        return -error.mean(1), error[:, :0]

    def error(self, x: Tensor) -> Tensor:
        """Return how badly a batch is rebuilt."""
        return -self.judge(x, x)[0].mean()

    def updates(self, batch: Any, clock: Clock) -> Iterator[Update]:
        fake = self.generator(self.draw(batch))
        real = self.error(batch.x)
        yield Update(real - self.k.clone() * self.error(fake.detach()), "critic")
        made = self.error(fake)
        yield Update(made, "generator")
        self.k.add_(self.rate * clock.share * (self.balance * real - made).detach()).clamp_(0, 1)

    def losses(self, real: Tensor, fake: Tensor) -> dict[str, float]:
        """Return the errors of both sides, k, and the measure of convergence."""
        true, made = -real.mean().item(), -fake.mean().item()
        convergence = true + abs(self.balance * true - made)
        return {"real_error": true, "fake_error": made, "k": self.k.item(), "convergence": convergence}
