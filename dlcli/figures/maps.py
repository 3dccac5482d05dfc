"""Maps: points in the plane, as dots or as the pictures that they stand for.

N examples, C channels, H height, W width.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dlcli.figures.canvas import INK, MOST, canvas, colours, plain
from dlcli.figures.grids import coloured

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE, OVERLAP = 0.04, 0.3  # of a picture on a map, as a share of the map's width; and how much of it another may cover


def embedding(
    points: Any, kinds: Tensor | None = None, names: Sequence[str] | None = None, title: str = "embedding"
) -> "Figure":
    """Draw points (N, 2), coloured by class where `kinds` (N,) names one."""
    figure, axes = canvas(title, "first dimension", "second dimension")
    points = torch.as_tensor(points).float()
    found = torch.zeros(len(points), dtype=torch.long) if kinds is None else kinds.long()
    count = max(len(names or ()), int(found.max()) + 1)
    labels = plain(range(count) if names is None else names)
    for kind, colour in enumerate(colours(count)):
        chosen = points[found == kind].numpy()
        axes.scatter(chosen[:, 0], chosen[:, 1], s=10, alpha=0.7, color=colour, lw=0, label=labels[kind])
    if kinds is not None and count <= 2 * MOST:
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=9, markerscale=2)
    return figure


def named(points: Any, names: Sequence[str], title: str) -> "Figure":
    """Draw names at points (N, 2)."""
    figure, axes = canvas(title, "first dimension", "second dimension")
    points = torch.as_tensor(points).float()
    axes.scatter(points[:, 0].numpy(), points[:, 1].numpy(), s=0)  # sets the limits
    for name, (x, y) in zip(plain(names, 14), points.tolist(), strict=True):
        axes.text(x, y, name, fontsize=7, ha="center", va="center", color=INK)
    return figure


def thumbnails(
    points: Any, images: Tensor, kinds: Tensor, names: Sequence[str] | None = None, title: str = "embedding"
) -> "Figure":
    """Draw pictures (N, C, H, W) at points (N, 2), framed by class, leaving out what would hide another."""
    from matplotlib.patches import Patch

    figure, axes = canvas(title, "first dimension", "second dimension")
    tall = SIDE * 4 / 3 * images.shape[2] / images.shape[3]  # the figure is 4:3
    points = torch.as_tensor(points).float()
    points = (points - points.amin(0)) / (points.amax(0) - points.amin(0)).clamp(min=1e-12)
    kinds = kinds.long()
    inks = colours(max(len(names or ()), int(kinds.max()) + 1))
    kept = apart(points, (1 - OVERLAP) * torch.tensor([SIDE, tall]))
    for image, (x, y), kind in zip(coloured(images[kept]), points[kept].tolist(), kinds[kept].tolist(), strict=True):
        place = (x - SIDE / 2, x + SIDE / 2, y - tall / 2, y + tall / 2)
        axes.imshow(image.movedim(0, -1).numpy(), extent=place, interpolation="antialiased")
        frame = {"fill": False, "ec": inks[kind], "lw": 1.2}
        axes.add_patch(_rectangle(place, frame))
    axes.set(xlim=(-SIDE, 1 + SIDE), ylim=(-tall, 1 + tall), aspect="auto", xticks=[], yticks=[])
    if len(inks) <= 2 * MOST:
        patches = [
            Patch(facecolor=ink, label=name) for ink, name in zip(inks, plain(names or range(len(inks))), strict=True)
        ]
        axes.legend(handles=patches, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=9)
    axes.set_title(f"{title}\n{len(kept)} of {len(points)} examples", color=INK)
    return figure


def _rectangle(place: tuple[float, float, float, float], style: dict[str, Any]) -> Any:
    """Return the frame of a picture."""
    from matplotlib.patches import Rectangle

    left, right, bottom, top = place
    return Rectangle((left, bottom), right - left, top - bottom, **style)


def apart(points: Tensor, sides: Tensor) -> Tensor:
    """Return the indices of points (N, 2) whose boxes of these sides (2,) do not overlap, first come first served."""
    kept: list[int] = []
    for i, point in enumerate(points):
        if not kept or ((points[kept] - point).abs() >= sides).any(1).all():
            kept.append(i)
    return torch.tensor(kept)
