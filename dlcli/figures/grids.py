"""Grids of pictures, pixel by pixel, without axes and words."""

from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from dlcli.figures.canvas import settle


def coloured(images: Tensor) -> Tensor:
    """Return pictures (N, C, H, W) as (N, 3, H, W) in [0, 1], on the CPU.

    One channel becomes grey, three are red, green and blue, of any other number the mean is shown.
    """
    images = images.detach().cpu().float().clamp(0, 1)
    return images if images.shape[1] == 3 else images.mean(1, keepdim=True).expand(-1, 3, -1, -1)


def grid(images: Tensor, columns: int = 8, gap: int = 2) -> Tensor:
    """Tile pictures (N, C, H, W) into one of (3, rows * (H + gap) + gap, columns * (W + gap) + gap) in [0, 1]."""
    images = coloured(images)
    count, _, height, width = images.shape
    columns = min(columns, count)
    rows = -(-count // columns)
    sheet = torch.ones(3, rows * (height + gap) + gap, columns * (width + gap) + gap)
    for i, image in enumerate(images):
        top, left = gap + i // columns * (height + gap), gap + i % columns * (width + gap)
        sheet[:, top : top + height, left : left + width] = image
    return sheet


def save_each(images: Tensor, folder: Path) -> None:
    """Write pictures (N, C, H, W) as PNG files of their own size, 00000.png and so on; one channel is grey."""
    from PIL import Image

    folder.mkdir(exist_ok=True)
    images = images.detach().cpu() if images.shape[1] == 1 else coloured(images)
    for number, pixels in enumerate((images.float().clamp(0, 1) * 255).round().byte().movedim(1, -1).numpy()):
        Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(folder / f"{number:05}.png")


def save_grid(images: Tensor, path: Path | str | BinaryIO, columns: int = 8) -> None:
    """Write pictures (N, C, H, W) as one PNG; small ones are enlarged by a whole number, each pixel a square."""
    from matplotlib.image import imsave

    settle()
    factor = max(1, 64 // images.shape[-1])
    large = images.detach().repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    imsave(path, grid(large, columns).permute(1, 2, 0).numpy())
