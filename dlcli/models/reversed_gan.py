"""A GAN by gradient reversal: one loss, one backward pass and one optimizer for both players.

    loss = E[-log D(x)] + E[-log(1 - D(r(G(z))))],   r(u) = u, its gradient turned round and multiplied by a strength

The critic descends the loss, and what reaches the generator through r climbs it: minimax, both moving at once. The
layer r is an argument (Ganin & Lempitsky 2015, arXiv:1409.7495); its strength balances the players, as two learning
rates would. The objective's own loss of the generator is not used.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import nn

from dlcli.errors import ConfigError
from dlcli.model import Clock, Update
from dlcli.models.gan import GAN


class ReversedGAN(GAN):
    """Learn to generate, both players by the same step."""

    def __init__(self, *, reversal: nn.Module, **options: Any):
        super().__init__(**options)
        strength = getattr(reversal, "strength", 1.0)
        if strength <= 0:
            raise ConfigError(f"model.reversal.strength={strength}: must be above 0, or the generator helps the critic")
        self.reversal = reversal

    def notes(self) -> list[str]:
        """Say as well if the generator climbs another loss than the one that the objective has for it."""
        if zero_sum(self.objective):
            return super().notes()
        name = type(self.objective).__name__
        return [
            f"the generator climbs the loss of the critic, which is not what {name} has for it; "
            "take objective=minimax or wasserstein",
            *super().notes(),
        ]

    def players(self) -> dict[str, Iterable]:
        return {"model": self.parameters()}

    def updates(self, batch: Any, clock: Clock) -> Iterator[Update]:
        codes = self.draw(batch)
        fake, told = self.reversal(self.generator(codes)), codes[:, self.latent :]
        blur = self.noise * (1 - clock.progress)
        yield Update(self.critic_loss(batch.x, fake, told, blur))
        self.regularizer.after(self.critic.parameters())


def zero_sum(objective: Any) -> bool:
    """Tell whether the generator loses what the critic gains."""
    real, low, high = torch.zeros(3), torch.tensor([-2.0, 0.5, 1.0]), torch.tensor([-1.0, 0.0, 3.0])
    gained = objective.critic(real, high) - objective.critic(real, low)
    return torch.allclose(gained, objective.generator(low) - objective.generator(high))
