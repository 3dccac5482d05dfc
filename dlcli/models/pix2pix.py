"""Paired translation: give back the picture that was taken from, so that a critic cannot tell (pix2pix).

    generator  L(D(given, .), G(given)) + weight |G(given) - x|,   given = corruption(x)
    critic     L(D; (given, x), (given, G(given)))                 (Isola, Zhu, Zhou & Efros 2017, arXiv:1611.07004)

x, given (B, C, H, W); |.| the mean absolute difference. The corruption is the task: with corruption=grey the net puts
colour into grey pictures. Where several answers are right, the squared error alone asks for their mean, which is grey
mush; the critic, which sees what was given as well, asks for one of them.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from torch import Tensor, nn

from dlcli.model import Clock, Update
from dlcli.models.rebuilding import Pass, Rebuilding


class Pix2Pix(Rebuilding):
    """Learn to restore pictures to the liking of a critic."""

    monitor = "psnr"
    asks = "sampler=picture sampler.file=PHOTO.png"

    def __init__(
        self,
        *,
        generator: nn.Module,
        critic: nn.Module,
        corruption: Callable[[Tensor], Tensor],
        objective: Any,
        weight: float = 100.0,
        output: str = "sigmoid",
    ):
        super().__init__(corruption=corruption, output=output)
        self.generator, self.critic = generator, critic
        self.objective, self.weight = objective, weight

    def players(self) -> dict[str, Iterable]:
        return {"generator": self.generator.parameters(), "critic": self.critic.parameters()}

    def updates(self, batch: Any, clock: Clock) -> Iterator[Update]:
        given = self.corrupted(batch.x)
        made = self.bound(self.generator(given))
        apart = (made.float() - batch.x).abs().mean()
        yield Update(self.objective.generator(self.critic(given, made)) + self.weight * apart, "generator")
        yield Update(self.objective.critic(self.critic(given, batch.x), self.critic(given, made.detach())), "critic")

    def through(self, x: Tensor) -> Pass:
        given = self.corrupted(x)
        output = self.generator(given).float()
        return Pass(given, output, self.cost(output, x))

    def rebuild(self, x: Tensor) -> Tensor:
        return self.bound(self.generator(x))

    def notes(self) -> list[str]:
        """Say what may go wrong with these values."""
        if self.corrupts:
            return []
        return ["nothing is taken from the pictures, so the net can only learn the identity; choose corruption=grey"]
