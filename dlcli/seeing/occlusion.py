"""Occlusion: how much the score of a class falls when a part of the picture is covered.

Zeiler & Fergus 2014 (arXiv:1311.2901).

    D_ij = mean over the squares s that cover pixel ij of  f_c(x) - f_c(x with s painted over)

x (B, C, H, W), f_c (B,) score of the class that the model names: the logit, since the probabilities of a sure model
hardly move; D (B, H, W): positive where the covered part spoke for the class. The squares are painted in the mean
colour, a fifth of the picture wide, and half overlap each other.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dlcli.figures import Row, sheet
from dlcli.seeing.scene import Scene, shares

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHARE = 5  # a square is so many times smaller than the picture
AT_ONCE = 256  # covered pictures in a batch


def places(length: int, size: int, stride: int) -> list[int]:
    """Return where squares begin along a side, so that all of it is covered."""
    return [*range(0, length - size, stride), length - size]


@torch.no_grad()
def occlusion(score: Callable[[Tensor], Tensor], image: Tensor, size: int, stride: int, colour: Tensor) -> Tensor:
    """Return how much the score falls (H, W) as squares of colour (C, 1, 1) cover parts of one picture (C, H, W)."""
    height, width = image.shape[1:]
    size = min(size, height, width)
    corners = [(top, left) for top in places(height, size, stride) for left in places(width, size, stride)]
    masks = torch.zeros(len(corners), height, width, device=image.device)
    for mask, (top, left) in zip(masks, corners, strict=True):
        mask[top : top + size, left : left + size] = 1
    covered = [
        score(image * (1 - part[:, None]) + colour * part[:, None]) for part in masks.split(AT_ONCE)
    ]  # (S, C, H, W) -> (S,)
    falls = score(image[None]) - torch.cat(covered)
    return (falls.view(-1, 1, 1) * masks).sum(0) / masks.sum(0)


def draw(scene: Scene) -> "Figure":
    """Draw pictures above themselves under their occlusion map."""
    x = scene.batch.x
    size = max(1, min(x.shape[2:]) // SHARE)
    colour = scene.sample.x.mean((0, 2, 3)).view(-1, 1, 1)
    maps = []
    for image, guess in zip(x, scene.guess, strict=True):
        score = partial(scene.score, classes=guess[None])
        maps.append(occlusion(score, image, size, max(1, size // 2), colour))
    rows = [
        Row(x, label="picture", captions=scene.captions),
        Row(x, shares(torch.stack(maps)), "occlusion", signed=True),
    ]
    return sheet(f"occlusion: what a square of {size} pixels takes from the score", rows, "red: speaks for it")
