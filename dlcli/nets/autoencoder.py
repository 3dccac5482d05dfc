"""Encoders and decoders of autoencoders; the fully connected decoder is the one of `nets/vae.py`.

    fully connected:  h = f(W_last ... f(W_1 x + b_1) ... + b_last),  a symmetric pair has the widths in reverse
    k-sparse:         only the k largest of h stay, the others become 0     (Makhzani & Frey 2014, arXiv:1312.5663)
    convolutional:    28 x 28 -> 14 x 14 -> 7 x 7 -> 1 x 1 and back; 105,216 + 105,153 = 210,369 weights

x (B, D) or (B, C, H, W), codes h (B, latent).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dlcli.errors import ConfigError
from dlcli.nets.layers import Normalize, exact
from dlcli.nets.layers import activation as make_activation
from dlcli.nets.mlp import MLP


class Strongest(nn.Module):
    """Let the k largest numbers of each example pass, and set the others to zero."""

    def __init__(self, *, k: int):
        super().__init__()
        self.k = k

    def forward(self, h: Tensor) -> Tensor:  # (B, Z) -> (B, Z)
        top = h.topk(self.k, dim=1)
        return torch.zeros_like(h).scatter(1, top.indices, top.values)


class Encoder(MLP):
    """A fully connected encoder; `active` is the number of code units that stay on, 0 for all."""

    def __init__(
        self,
        *,
        inputs: int,
        widths: Sequence[int],
        latent: int,
        activation: str = "relu",
        code: str = "identity",
        active: int = 0,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ):
        super().__init__(inputs=inputs, widths=widths, outputs=latent, activation=activation, mean=mean, std=std)
        if not 0 <= active <= latent:
            raise ConfigError(f"active={active}: of a code of {latent} numbers 1 to {latent} can stay on, or 0 for all")
        self.active, self.form = active, code
        self.code = nn.Sequential(make_activation(code, latent), *([Strongest(k=active)] if active else []))

    def forward(self, x: Tensor) -> Tensor:  # (B, ...) -> (B, latent)
        return self.code(super().forward(x))

    @exact
    def contraction(self, x: Tensor, h: Tensor) -> Tensor | None:
        """Return the squared Frobenius norm of dh/dx where one sigmoid layer makes h = s(W x + b), (B,).

        With dh_j/dx_i = h_j (1 - h_j) W_ji it is the sum over j of (h_j (1 - h_j))^2 |W_j|^2. None for other encoders.
        """
        layer = self.layers[1]
        if len(self.layers) != 2 or self.form != "sigmoid" or self.active or not isinstance(layer, nn.Linear):
            return None
        weight, std = layer.weight, self.normalize.std  # (latent, D)
        if std is not None:
            weight = weight / std.repeat_interleave(weight.shape[1] // len(std))
        return (h * (1 - h)).square() @ weight.square().sum(1)


class LectureEncoder(nn.Module):
    """Two convolutions with stride 2 and one over all that is left, a quarter of each side."""

    def __init__(
        self,
        *,
        channels: int,
        height: int,
        width: int,
        widths: Sequence[int] = (16, 32),
        latent: int = 64,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ):
        super().__init__()
        rest = quarter(height, width)
        first, second = two(widths)
        self.normalize = Normalize(mean=mean, std=std)
        self.layers = nn.Sequential(
            nn.Conv2d(channels, first, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(first, second, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(second, latent, rest),
            nn.Flatten(),
        )

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, latent)
        return self.layers(self.normalize(x))


class LectureDecoder(nn.Module):
    """The mirror of `LectureEncoder`, by transposed convolutions."""

    def __init__(self, *, channels: int, height: int, width: int, widths: Sequence[int] = (16, 32), latent: int = 64):
        super().__init__()
        rest = quarter(height, width)
        first, second = two(widths)
        self.layers = nn.Sequential(
            nn.Unflatten(1, (latent, 1, 1)),
            nn.ConvTranspose2d(latent, second, rest),
            nn.ReLU(),
            nn.ConvTranspose2d(second, first, 3, stride=2, padding=1, output_padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(first, channels, 3, stride=2, padding=1, output_padding=1),
        )

    def forward(self, z: Tensor) -> Tensor:  # (B, latent) -> (B, C, H, W)
        return self.layers(z)


def quarter(height: int, width: int) -> tuple[int, int]:
    """Return a quarter of height and width."""
    if height % 4 or width % 4:
        raise ConfigError(f"pictures of {height}x{width} cannot be halved twice and doubled back; take a multiple of 4")
    return height // 4, width // 4


def two(widths: Sequence[int]) -> tuple[int, int]:
    """Return the channels of the two inner layers."""
    if len(widths) != 2:
        raise ConfigError(f"widths={list(widths)}: two convolutions halve the picture; give the channels of each")
    return widths[0], widths[1]


class EncoderClassifier(nn.Module):
    """Any encoder, and a linear layer on its code: where a net that learned without labels goes on with them."""

    def __init__(self, *, encoder: nn.Module, latent: int, classes: int):
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(latent, classes)

    def forward(self, x: Tensor) -> Tensor:  # (B, ...) -> (B, classes)
        return self.head(self.encoder(x))
