"""Log-mel spectrogram: what a recording sounds like over time, as a grey picture.

    P(f, t) = |STFT(x)|^2,   M(b, t) = sum_f F(b, f) P(f, t),   picture = 1 + 10 log10(M / max M) / 80, cut to [0, 1]

F are triangles whose corners lie evenly on the mel scale, mel(f) = 2595 log10(1 + f / 700) (O'Shaughnessy 1987; Davis,
Mermelstein 1980). x (N, T) in [-1, 1]; picture (N, bands, frames), bytes, high frequencies on top.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dlcli.errors import ConfigError

FLOOR = 80.0  # decibels below the loudest spot, shown black
PART = 256  # recordings at a time
SILENCE = 1e-10


@dataclass(frozen=True, kw_only=True)
class Spectrogram:
    """Turn recordings of `rate` samples per second into pictures of `bands` x `frames`, by windows of `window`."""

    rate: int
    bands: int = 64
    frames: int = 64
    window: int = 512

    def __call__(self, x: Tensor) -> Tensor:
        """Return pictures (N, bands, frames), bytes."""
        if min(self.bands, self.frames) < 1 or self.bands > self.window // 4 or self.frames > x.shape[1]:
            raise ConfigError(
                f"bands={self.bands}, frames={self.frames}: from 1 to {self.window // 4} bands, "
                f"and from 1 to {x.shape[1]} frames (one for each sample)"
            )
        return torch.cat([self.pictures(part) for part in x.split(PART)])

    def pictures(self, x: Tensor) -> Tensor:
        """Return the pictures of a few recordings."""
        hop = x.shape[1] // self.frames
        window = torch.hann_window(self.window)
        spectrum = torch.stft(x, self.window, hop, window=window, pad_mode="constant", return_complex=True)
        power = self.filters() @ spectrum.abs().square()[:, :, : self.frames]  # (N, bands, frames)
        loudest = power.amax((1, 2), keepdim=True).clamp(min=SILENCE)
        decibels = 10 * (power / loudest).clamp(min=SILENCE).log10()
        return ((1 + decibels / FLOOR).clamp(0, 1) * 255).round().to(torch.uint8).flip(1)

    def filters(self) -> Tensor:
        """Return the triangles (bands, window / 2 + 1)."""
        top = 2595 * torch.log10(torch.tensor(1 + self.rate / 2 / 700))
        corners = 700 * (10 ** (torch.linspace(0, 1, self.bands + 2) * top / 2595) - 1)  # (bands + 2,), in Hz
        frequency = torch.linspace(0, self.rate / 2, self.window // 2 + 1)
        rise = (frequency - corners[:-2, None]) / (corners[1:-1] - corners[:-2])[:, None]
        fall = (corners[2:, None] - frequency) / (corners[2:] - corners[1:-1])[:, None]
        return torch.minimum(rise, fall).clamp(min=0)
