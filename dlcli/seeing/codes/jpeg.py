"""JPEG (Wallace 1992) at a given number of bytes for each picture: the hand-made code to be compared with.

All pictures lie on one sheet, so that the header of some 600 bytes counts only once and the Huffman tables fit; each is
widened to whole blocks by its last row and column, so that none disturbs another. x (N, C, H, W) in [0, 1], C 1 or 3.
"""

import io
import math
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


class Packed(NamedTuple):
    """What comes back of pictures, and what they cost."""

    x: Tensor  # (N, C, H, W)
    bytes: float  # for each picture


def pack(x: Tensor, budget: float) -> Packed:
    """Return pictures in the best quality that takes at most `budget` bytes for each; if none does, in the smallest."""
    laid = _sheet(x)
    low, high = 1, 95  # beyond which files grow and errors do not shrink
    while low < high:
        middle = (low + high + 1) // 2
        if len(_encoded(laid, middle)) <= budget * len(x):
            low = middle
        else:
            high = middle - 1
    data = _encoded(laid, low)
    return Packed(_cut(data, x), len(data) / len(x))


def _block(x: Tensor) -> int:
    """Return the side of the squares that are coded together; those of colours are twice as wide."""
    return 8 if x.shape[1] == 1 else 16


def _columns(x: Tensor) -> int:
    return math.isqrt(len(x) - 1) + 1


def _sheet(x: Tensor) -> np.ndarray:  # (N, C, H, W) -> (rows H', columns W', C)
    """Lay pictures side by side."""
    side, columns = _block(x), _columns(x)
    wide = F.pad(x, (0, -x.shape[3] % side, 0, -x.shape[2] % side), mode="replicate")
    wide = torch.cat([wide, wide[:1].expand(-len(x) % columns, -1, -1, -1)])
    count, channels, height, width = wide.shape
    laid = wide.view(count // columns, columns, channels, height, width).permute(0, 3, 1, 4, 2)
    return (laid.reshape(-1, columns * width, channels) * 255).round().byte().numpy()


def _encoded(laid: np.ndarray, quality: int) -> bytes:
    from PIL import Image

    target: Any = io.BytesIO()
    Image.fromarray(laid.squeeze(-1) if laid.shape[2] == 1 else laid).save(
        target, "JPEG", quality=quality, optimize=True
    )
    return target.getvalue()


def _cut(data: bytes, x: Tensor) -> Tensor:
    """Return the pictures of a sheet in the shape of those that were laid there."""
    from PIL import Image

    count, channels, height, width = x.shape
    side, columns = _block(x), _columns(x)
    rows = -(-count // columns)
    tall, wide = height + -height % side, width + -width % side
    laid = torch.from_numpy(np.array(Image.open(io.BytesIO(data)))).view(rows, tall, columns, wide, channels)
    apart = laid.permute(0, 2, 4, 1, 3).reshape(-1, channels, tall, wide)  # (rows columns, C, H', W')
    return apart[:count, :, :height, :width].float() / 255
