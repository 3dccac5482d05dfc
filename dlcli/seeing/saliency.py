"""Saliency: how much the score of a class changes with each pixel.

Simonyan, Vedaldi & Zisserman 2014 (arXiv:1312.6034).

    M_ij = max over channels k of |d z_c / d x_kij|

x (B, C, H, W) pixels in [0, 1], z_c (B,) logit of the class that the model names, M (B, H, W). It shows where a small
change would matter to the score; not where the evidence lies, and a map that looks right may mislead.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor

from dlcli.figures import Row, sheet
from dlcli.seeing.scene import Scene, shares, slope

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def saliency(score: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return the saliency maps (B, H, W) of pictures (B, C, H, W) for a score (B,)."""
    x = x.detach().clone().requires_grad_()
    return slope(score(x).sum(), x).abs().amax(1)


def draw(scene: Scene) -> "Figure":
    """Draw pictures above their saliency."""
    maps = saliency(lambda x: scene.score(x, scene.guess), scene.batch.x)
    rows = [
        Row(scene.batch.x, label="picture", captions=scene.captions),
        Row(heat=shares(maps), label="saliency"),
    ]
    return sheet("saliency: how the score answers to each pixel", rows, "steepest = 1")
