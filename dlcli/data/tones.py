"""Sounds made by formula: five wave forms of random pitch and phase, in noise. N recordings of T samples.

sine, square (its sign), sawtooth, and sines whose pitch rises from 3/4 to 5/4 of its mean, or falls so
"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dlcli.batch import Signals
from dlcli.data.facts import class_facts, signal_facts
from dlcli.data.splits import Splits
from dlcli.errors import ConfigError

NAMES = ("sine", "square", "sawtooth", "rising", "falling")
LOUD = 0.5  # amplitude, which leaves room for noise


@dataclass(frozen=True, kw_only=True)
class Tones:
    """Draw three splits of `samples` recordings of `length` samples each."""

    samples: int = 300
    length: int = 256
    noise: float = 0.1
    split_seed: int = 0

    def load(self, root: Path) -> Splits:
        """Draw by `split_seed`; `root` is not needed."""
        if self.samples < 1 or self.length < 64 or self.noise < 0:
            raise ConfigError(
                f"samples={self.samples}, length={self.length}, noise={self.noise}: "
                "at least one recording of 64 samples and noise of 0 or more are needed"
            )
        train, valid, test = (self.draw(torch.Generator().manual_seed(3 * self.split_seed + part)) for part in range(3))
        return Splits(train, valid, test, signal_facts(train.x) | class_facts(NAMES))

    def draw(self, generator: torch.Generator) -> Signals:
        """Return recordings (N, 1, T) of the wave forms in turn."""
        y = torch.arange(self.samples) % len(NAMES)
        pitch, phase = torch.rand(2, self.samples, 1, generator=generator)
        time = torch.arange(self.length) / self.length  # in units of the recording
        bend = 0.25 * torch.tensor([0.0, 0.0, 0.0, 1.0, -1.0])[y][:, None]
        turns = (8 + 8 * pitch) * (time + bend * (time.square() - time)) + phase  # (N, T); its slope is the pitch
        waves = self.waves(turns)[y, torch.arange(self.samples)]
        noisy = LOUD * waves + self.noise * torch.randn(waves.shape, generator=generator)
        return Signals(noisy.clamp(-1, 1)[:, None], y)

    def waves(self, turns: Tensor) -> Tensor:
        """Return each wave form at each phase, (5, N, T)."""
        sine = (2 * math.pi * turns).sin()
        return torch.stack([sine, sine.sign(), 2 * turns.frac() - 1, sine, sine])
