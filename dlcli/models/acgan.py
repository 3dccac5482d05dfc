"""The auxiliary classifier GAN (Odena, Olah & Shlens 2017, arXiv:1610.09585).

    critic     objective.critic + w (CE(c(x), y) + t CE(c(G(z, y)), y))
    generator  objective.generator + w CE(c(G(z, y)), y)

The critic is not told the class y but guesses it: c(x) = critic(x)[:, 1:], logits (B, C). So the generator, which is
told, must make the class recognizable. With t = 1, as published, the critic also learns the classes of samples, wrong
ones too, and both players may agree that an 8 is a 5; with t = 0 real examples alone teach it what a class is.
"""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from dlcli.models.cgan import ConditionalGAN


class ACGAN(ConditionalGAN):
    """Learn to make examples of a chosen class that a classifier in the critic recognizes."""

    rising = ConditionalGAN.rising | {"recognized"}
    deaf = True

    def __init__(self, *, names: Sequence[str], weight: float = 1.0, trust: float = 1.0, **options: Any):
        self.answers = len(names)
        super().__init__(names=names, **options)
        self.weight, self.trust = weight, trust

    def guessing(self, answers: Tensor, told: Tensor, real: bool) -> Tensor:
        return self.weight * F.cross_entropy(answers, told)

    def guessed(self, of_real: Tensor, of_fake: Tensor, told: Tensor) -> dict[str, Tensor]:
        """Return whether the critic classifies real examples, and samples as what was asked for."""
        return {
            "accuracy": (of_real.argmax(1) == told.argmax(1)).float(),
            "recognized": (of_fake.argmax(1) == told.argmax(1)).float(),
        }
