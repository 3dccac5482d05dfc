"""What a unit answers to: the pictures of a sample that excite it most, and pictures made to excite it.

Maximal input: Erhan, Bengio, Courville & Vincent 2009 (TR 1341, Montreal); of a class: Simonyan et al. 2014
(arXiv:1312.6034); regularized by blur: Yosinski et al. 2015 (arXiv:1506.06579).

    strongest: argmax over the sample of max over places ij of h_k(x)_ij
    made:      argmax of mean over places ij of h_k(x)_ij,   |x - 1/2| <= radius,   x in [0, 1]

by steps x <- P(blur(x) + rate radius g / |g|), g the slope and P the projection into the ball, then the box. For a
unit w x + b without blur that is 1/2 + radius w / |w|, cut to [0, 1]. x (K, C, H, W), one picture for each unit k.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from dlcli.figures import Row, sheet, tiles
from dlcli.seeing.scene import Scene, answers, output, slope

if TYPE_CHECKING:
    from matplotlib.figure import Figure

UNITS, PICTURES = 8, 10  # of the sheet of strongest pictures
MADE = 20  # units or classes for which pictures are made
STEPS, RATE, RADIUS = 64, 0.2, 0.25  # the radius per pixel: of the root of their number
BLUR = 0.5  # share that neighbours have in each pixel after a step
NOISE = 0.05  # standard deviation of the start, in pixel values
AT_ONCE = 256  # pictures in a batch


@torch.no_grad()
def strengths(scene: Scene) -> Tensor:
    """Return how strongly each unit of the chosen layer answers to each picture of the sample, (M, K)."""
    parts = (output(scene.model, scene.chosen, part)[0] for part in scene.sample.x.split(AT_ONCE))
    return torch.cat([part.flatten(2).amax(2) if part.ndim > 2 else part for part in parts])  # at the best place


def draw(scene: Scene) -> "Figure":
    """Draw the pictures of the sample that excite each of the first units most."""
    found, x = strengths(scene), scene.sample.x
    best = found.topk(min(PICTURES, len(x)), 0)
    rows = [
        Row(x[which], label=f"unit {k}", captions=[f"{value:.2g}" for value in values.tolist()])
        for k, (values, which) in enumerate(zip(best.values.T[:UNITS], best.indices.T[:UNITS], strict=True))
    ]
    return sheet(f"pictures that excite {scene.chosen} most, of {len(found)}", rows)


def blurred(x: Tensor, share: float) -> Tensor:  # (K, C, H, W) -> (K, C, H, W)
    """Return pictures in which the eight neighbours have a share in each pixel."""
    around = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return (1 - share) * x + share * around


def maximize(
    excite: Callable[[Tensor], Tensor], start: Tensor, radius: float, *, steps: int, rate: float, blur: float
) -> Tensor:
    """Return pictures (K, C, H, W) that excite their units, each as much as it can: `excite` maps them to (K,)."""
    x = start.detach().clone()
    for _ in range(steps):
        x.requires_grad_()
        uphill = slope(excite(x).sum(), x)
        with torch.no_grad():
            length = uphill.flatten(1).norm(dim=1).clamp(min=1e-12).view(-1, 1, 1, 1)
            change = blurred(x, blur) - 0.5 + rate * radius * uphill / length
            far = change.flatten(1).norm(dim=1).clamp(min=1e-12).view(-1, 1, 1, 1)
            x = (0.5 + change * (radius / far).clamp(max=1)).clamp(0, 1)
    return x.detach()


def make(scene: Scene, excite: Callable[[Tensor], Tensor], count: int) -> Tensor:
    """Return a picture for each of `count` units, made from noise around grey."""
    shape = scene.batch.x.shape[1:]
    noise = torch.randn(count, *shape, generator=torch.Generator().manual_seed(0)).to(scene.batch.x.device)
    return maximize(excite, 0.5 + NOISE * noise, RADIUS * shape.numel() ** 0.5, steps=STEPS, rate=RATE, blur=BLUR)


def draw_ideal(scene: Scene) -> "Figure":
    """Draw a picture made for each of the first units of the chosen layer."""
    units = output(scene.model, scene.before, scene.batch.x[:1])[0].shape[1]
    count = min(units, MADE)

    def excite(x: Tensor) -> Tensor:
        maps = output(scene.model, scene.before, x)[0]
        return (maps.flatten(2).mean(2) if maps.ndim > 2 else maps).diagonal()

    made = make(scene, excite, count)
    return tiles(f"made to excite units of {scene.before}", made, [f"unit {k}" for k in range(count)])


def draw_classes(scene: Scene) -> "Figure":
    """Draw a picture made for each of the first classes, and how sure the model is of it."""
    count = min(len(scene.names), MADE)
    made = make(scene, lambda x: answers(scene.model(x)).diagonal(), count)
    with torch.no_grad():
        sure = answers(scene.model(made)).softmax(1).diagonal().tolist()
    words = [f"{name}\n{100 * share:.0f} %" for name, share in zip(scene.names, sure, strict=False)]
    return tiles("made to look like a class to the model", made, words)
