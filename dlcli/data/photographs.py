"""Small colour pictures without a file: crops of the two photographs that come with scikit-learn.

A temple and a flower of 427 x 640 pixels. The left three fifths are for training, as overlapping crops; then validation
and test, side by side: no pixel is in two splits.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dlcli.batch import Images
from dlcli.data.facts import class_facts, image_facts
from dlcli.data.splits import Splits
from dlcli.errors import ConfigError

NAMES = ("temple", "flower")
HEIGHT, WIDTH = 427, 640
EDGES = (0, 384, 512, 640)  # columns where the three splits begin and end


@dataclass(frozen=True, kw_only=True)
class Photographs:
    """Cut squares of `size` pixels, those for training `stride` pixels apart."""

    size: int = 32
    stride: int = 16

    def load(self, root: Path) -> Splits:
        """Cut the photographs, bytes in [0, 255]; `root` is not needed."""
        from sklearn.datasets import load_sample_image

        widest = EDGES[2] - EDGES[1]
        if not 8 <= self.size <= widest or self.stride < 1:
            raise ConfigError(
                f"size={self.size}, stride={self.stride}: crops have 8 to {widest} pixels, 1 or more apart"
            )
        pictures = [torch.from_numpy(np.array(load_sample_image(f"{name}.jpg"))) for name in ("china", "flower")]
        strides = (self.stride, self.size, self.size)
        spans = zip(EDGES[:-1], EDGES[1:], strides, strict=True)
        train, valid, test = (
            joined([crops(picture[:, left:right], self.size, stride) for picture in pictures])
            for left, right, stride in spans
        )
        return Splits(train, valid, test, image_facts(train.x) | class_facts(NAMES))


def crops(picture: Tensor, size: int, stride: int) -> Tensor:
    """Return the squares of a picture, (H, W, C) -> (N, C, size, size)."""
    squares = picture.unfold(0, size, stride).unfold(1, size, stride)  # (rows, columns, C, size, size)
    return squares.flatten(0, 1).contiguous()


def joined(parts: list[Tensor]) -> Images:
    """Return the pictures of all classes with their classes."""
    return Images(torch.cat(parts), torch.cat([torch.full((len(part),), i) for i, part in enumerate(parts)]))
