"""Vision transformer: a picture is a sentence of patches (Dosovitskiy et al. 2021, arXiv:2010.11929).

    tokens = W [patches, each flattened] + position,   a class token in front,   logits = head(encoder(tokens)[0])

or `pool=mean` of all patches in place of the class token. It has no idea of neighbourhood but what it learns, so it
needs more pictures than a convolutional net of its size. `positions=none` makes a picture a set of patches.

x (B, C, H, W) in [0, 1], N = H W / patch^2 tokens (B, N, D), logits (B, classes).
"""

import torch
from torch import Tensor, nn

from dlcli.errors import ConfigError
from dlcli.nets.encoder import Encoder
from dlcli.nets.layers import Picture, choose
from dlcli.nets.summary import summary

POOLS = {"class": "first", "mean": "mean"}


class ViT(nn.Module):
    """Cut pictures into squares of `patch` pixels and let the encoder compare them."""

    def __init__(
        self,
        *,
        picture: Picture,
        encoder: Encoder,
        classes: int,
        patch: int = 4,
        pool: str = "class",
        dropout: float = 0.0,
    ):
        super().__init__()
        if patch < 1 or picture.height % patch or picture.width % patch:
            raise ConfigError(
                f"patch={patch} does not divide pictures of {picture.height}x{picture.width} pixels; "
                "choose one that does"
            )
        tokens = picture.height * picture.width // patch**2
        if encoder.context < tokens:
            raise ConfigError(f"patch={patch} makes {tokens} tokens of a picture, the encoder takes {encoder.context}")
        self.summary = summary(choose("pool", pool, POOLS), encoder.width)
        self.picture, self.encoder = picture, encoder
        self.patches = nn.Conv2d(picture.channels, encoder.width, patch, stride=patch)
        self.start = nn.Parameter(torch.zeros(encoder.width)) if pool == "class" else None
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(encoder.width, classes))

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, classes)
        tokens = self.patches(self.picture(x)).flatten(2).mT  # (B, N, D)
        if self.start is not None:
            tokens = torch.cat((self.start.expand(len(x), 1, -1), tokens), dim=1)
        every = torch.ones(tokens.shape[:2], dtype=torch.bool, device=x.device)
        return self.head(self.summary(self.encoder(tokens), every))  # no mask: the quickest kernel
