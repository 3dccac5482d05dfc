"""Filters of the first layer as pictures, and what the layers make of a picture.

    filter k: W_k / max |W_k|,   feature map k of layer l: h_lk(x) / max |h_lk(x)|

W_k (C, h, w) weights of a convolution, or of one unit of a linear layer that reads the picture (C, H, W).
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dlcli.figures import Row, sheet, tiles
from dlcli.figures.panels import WIDEST
from dlcli.seeing.scene import Scene, output, reads, shares

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 60  # filters, or maps of one layer
LAYERS = 8  # layers whose maps are drawn together


def first_filters(scene: Scene) -> tuple[str, Tensor] | None:
    """Return name and filters (K, C, h, w) of the first layer with weights, if it reads pictures."""
    call = next((call for call in scene.calls if reads(call.module)), None)
    if call is None:
        return None
    weight, shape = call.module.weight.detach(), scene.batch.x.shape[1:]  # type: ignore[union-attr,operator]
    if weight.ndim == 4:
        return call.name, weight
    return (call.name, weight.view(-1, *shape)) if weight.shape[1] == shape.numel() else None


def draw(scene: Scene) -> "Figure | None":
    """Draw the filters of the first layer: red, green and blue as such, everything else as signed numbers."""
    found = first_filters(scene)
    if found is None:
        return None
    name, weight = found
    weight = weight[:MOST] / weight[:MOST].abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-12)
    title = f"{len(weight)} filters of {name}, {weight.shape[2]}x{weight.shape[3]}"
    if weight.shape[1] == 3:
        return tiles(title, 0.5 + weight / 2)
    return tiles(title, weight.mean(1), bar="largest = 1", signed=True)


@torch.no_grad()
def draw_maps(scene: Scene) -> "Figure | None":
    """Draw the maps that the convolutions make of the first picture, or all of the layer that the user names."""
    x = scene.batch.x[:1]
    if scene.layer is not None:
        maps = output(scene.model, scene.chosen, x)[0]
        title = f"what {scene.chosen} makes of this: {scene.names[int(scene.guess[0])]}"
        return None if maps.ndim != 4 else tiles(title, shares(maps[0, :MOST]), signed=bool((maps < 0).any()))
    places = scene.convolutions
    if not places:
        return None
    count = min(LAYERS, len(places))
    chosen = [places[i * (len(places) - 1) // max(1, count - 1)] for i in range(count)]
    rows = [Row(x, label="picture", captions=scene.captions[:1])]
    for name in dict.fromkeys(scene.activated(place) for place in chosen):
        maps = output(scene.model, name, x)[0][0, :WIDEST]
        label = f"{name}\n{maps.shape[1]}x{maps.shape[2]}"
        rows.append(Row(heat=shares(maps), label=label, signed=bool((maps < 0).any())))
    return sheet("feature maps, each scaled by its largest value", rows)
