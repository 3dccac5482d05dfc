"""The conditional GAN (Mirza & Osindero 2014, arXiv:1411.1784): both players are told the class.

    critic(x, y) is high for a real x of class y;   G(z, y) makes an x of class y

y is one-hot, (B, C); a code is z with y behind it, (B, Z + C). How the critic takes y in is its own affair: among its
inputs, or compared with its features (Miyato & Koyama 2018, arXiv:1802.05637). Samples get the classes of the batch.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dlcli.errors import ConfigError
from dlcli.models.gan import GAN, ROW
from dlcli.samplers import Prior


class ConditionalGAN(GAN):
    """Learn to make examples of a chosen class."""

    deaf = False  # whether the critic may do without the class

    def __init__(self, *, names: Sequence[str], **options: Any):
        self.extra = len(names)
        super().__init__(**options)
        self.names = [str(name) for name in names]
        self.require_classes(getattr(self.critic, "classes", None))

    def require_classes(self, classes: int | None) -> None:
        """Raise ConfigError unless the critic is told every class: otherwise nothing makes samples of the right one."""
        if classes is not None and classes != len(self.names) and (classes or not self.deaf):
            raise ConfigError(
                f"model.critic.classes={classes}: the critic is told which of {len(self.names)} classes an example is "
                f"of; set {len(self.names)}"
            )

    def told(self, y: Tensor) -> Tensor:
        """Return classes as both players are told them, (B,) -> (B, C); shares of mixed pictures stay as they are."""
        return (y if y.dim() == 2 else F.one_hot(y, len(self.names))).float()

    def draw(self, batch: Any) -> Tensor:
        return torch.cat([super().draw(batch), self.told(batch.y)], 1)

    def judge(self, x: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
        found = self.critic(x, told).float()
        return found[:, 0], found[:, 1:]

    def embed(self, batch: Any) -> Tensor:
        """Return the features by which the critic judges, (B, F)."""
        return self.critic.features(batch.x, self.told(batch.y))  # type: ignore[operator]

    def show(self, batch: Any) -> dict[str, Tensor | str]:
        """Return a row of samples of each class."""
        return {"samples": self.sample(ROW * len(self.names), Prior()).clamp(0, 1)} if batch.x.dim() == 4 else {}

    def sample(self, n: int, sampler: Any) -> Tensor:
        z, y = sampler(n, self.latent), sampler.labels(n, self.names)
        return self.generate(torch.cat([z, self.told(y).to(z.device)], 1))
