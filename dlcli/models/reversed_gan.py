"""A GAN by gradient reversal: one loss, one backward pass and one optimizer for both players.

    loss = E[-log D(x)] + E[-log(1 - D(r(G(z))))],   r(u) = u, its gradient turned round and multiplied by a strength

The critic descends the loss, and what reaches the generator through r climbs it: minimax, both moving at once. The
layer r is an argument (Ganin & Lempitsky 2015, arXiv:1409.7495); its strength balances the players, as two learning
rates would.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from torch import nn

from dlcli.model import Clock, Update
from dlcli.models.gan import GAN


class ReversedGAN(GAN):
    """Learn to generate, both players by the same step."""

    def __init__(self, *, reversal: nn.Module, **options: Any):
        super().__init__(**options)
        self.reversal = reversal

    def players(self) -> dict[str, Iterable]:
        return {"model": self.parameters()}

    def updates(self, batch: Any, clock: Clock) -> Iterator[Update]:
        codes = self.draw(batch)
        fake, told = self.reversal(self.generator(codes)), codes[:, self.latent :]
        blur = self.noise * (1 - clock.progress)
        yield Update(self.critic_loss(batch.x, fake, told, blur))
        self.regularizer.after(self.critic.parameters())
