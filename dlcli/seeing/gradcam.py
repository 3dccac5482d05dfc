"""Grad-CAM: which places of the last maps speak for a class.

Selvaraju et al. 2017 (arXiv:1610.02391).

    a_k = mean over places ij of d z_c / d A_kij,   L_ij = ReLU(sum_k a_k A_kij)

A (B, K, h, w) maps of a layer, z_c (B,) logit of the class that the model names, L (B, h, w), then enlarged to the
picture. With global average pooling and one linear layer after A, L is the class activation map of Zhou et al. 2016
(arXiv:1512.04150), divided by h w.
"""

from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

from dlcli.figures import Row, sheet
from dlcli.seeing.scene import Scene, answers, output, shares, slope

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def gradcam(model: nn.Module, layer: str, x: Tensor, classes: Tensor) -> Tensor | None:
    """Return Grad-CAM (B, h, w) of classes (B,) at a layer; None where the layer puts out no maps."""
    maps, logits = output(model, layer, x.detach().clone().requires_grad_())  # weights may be frozen
    if maps.ndim != 4:
        return None
    score = answers(logits).gather(1, classes.view(-1, 1)).sum()
    return (slope(score, maps).mean((2, 3), keepdim=True) * maps).sum(1).relu().detach()


def draw(scene: Scene) -> "Figure | None":
    """Draw pictures above themselves under their Grad-CAM."""
    x = scene.batch.x
    maps = gradcam(scene.model, scene.chosen, x, scene.guess)
    if maps is None:
        return None
    heat = F.interpolate(shares(maps)[:, None], x.shape[2:], mode="bilinear")[:, 0]
    rows = [Row(x, label="picture", captions=scene.captions), Row(x, heat, "Grad-CAM")]
    return sheet(f"Grad-CAM at {scene.chosen}: where the class is seen", rows, "strongest = 1")
