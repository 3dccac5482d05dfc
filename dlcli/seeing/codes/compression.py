"""Codes as lossy compression: their size and error beside principal components and JPEG.

    mse = mean over pixels and pictures of (x' - x)^2,   psnr = -10 log10 mse dB,   pixels in [0, 1]
    rounded to 8 bits: round((z - low) / (high - low) 255), low and high of each number over the training codes

A learned code is short because decoder and encoder know what its pictures look like; the weights are not counted. Of
other pictures it makes what it knows: that is the difference to JPEG, which was made for all.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dlcli.figures import Row, sheet
from dlcli.seeing.codes import jpeg
from dlcli.seeing.codes.others import digits, photographs
from dlcli.seeing.codes.scene import FEW, Codes

PIXELS = 2**24  # of the sheet on which pictures are compressed together
OTHERS = 100  # pictures of other kinds
LEVELS = 255


class Way(NamedTuple):
    """A way to store a picture in so many bytes."""

    name: str
    back: Callable[[Tensor], jpeg.Packed]  # (N, C, H, W)


def coarse(z: Tensor, known: Tensor) -> Tensor:
    """Return codes (N, Z) as eight bits can hold them, in steps from the least to the most that is known (M, Z)."""
    low, high = known.amin(0), known.amax(0)
    step = (high - low).clamp(min=1e-12) / LEVELS
    return low + ((z - low) / step).round().clamp(0, LEVELS) * step


def ways(codes: Codes) -> list[Way]:
    """Return the ways to be compared: codes, as many principal components, and JPEG of as many bytes.

    Codes of indices, of which a model tells how many `bits` one takes, cannot be rounded.
    """
    count = codes.z.shape[1]
    sizes = {"": 4.0 * count, ", rounded": float(count)}  # bytes of a picture
    if hasattr(codes.model, "bits"):
        sizes = {"": codes.model.bits / 8}

    def coded(x: Tensor, size: float, rounded: bool) -> jpeg.Packed:
        z = codes.code(x)
        return jpeg.Packed(codes.decode(coarse(z, codes.known) if rounded else z), size)

    def projected(x: Tensor, size: float, rounded: bool) -> jpeg.Packed:
        z, known = codes.project(x), codes.project(codes.train.x.cpu())
        return jpeg.Packed(codes.lift(coarse(z, known) if rounded else z), size)

    def packed(x: Tensor, size: float, rounded: bool) -> jpeg.Packed:
        return jpeg.pack(x, size)

    methods: dict[str, Any] = {"code": coded}
    if codes.principal is not None and len(sizes) > 1:
        methods["components"] = projected
    if codes.x.shape[1] in (1, 3):
        methods["JPEG"] = packed
    return [
        Way(
            name + (detail.replace("rounded", "smaller") if name == "JPEG" else detail),
            partial(method, size=size, rounded=bool(detail)),
        )
        for name, method in methods.items()
        for detail, size in sizes.items()
    ]


def draw(codes: Codes) -> dict[str, Any]:
    """Draw what each way to store pictures gives back, of the model's own and of others, and tell the price."""
    x = codes.x[: max(FEW, PIXELS // codes.x[0, 0].numel())]
    table, rows = {}, [Row(x[:FEW], label=f"{x[0].numel()} bytes")]
    chosen = ways(codes)
    for way in chosen:
        packed = way.back(x)
        mse = (packed.x - x).square().mean().item()
        table[way.name] = {
            "bytes": packed.bytes,
            "ratio": x[0].numel() / packed.bytes,
            "mse": mse,
            "psnr": -10 * torch.tensor(max(mse, 1e-10)).log10().item(),
        }
        rows.append(Row(packed.x[:FEW], label=f"{way.name}\n{packed.bytes:.3g} bytes"))
    figure, other = strange(codes, x, [way for way in chosen if "," not in way.name])
    return {
        "compression": sheet("stored and brought back", rows),
        "other_pictures": figure,
        "bytes and errors": table,
        "mse on other pictures": other,
    }


def strange(codes: Codes, x: Tensor, chosen: list[Way]) -> tuple[Any, dict[str, dict[str, float]]]:
    """Draw and tell what each way makes of pictures that the model has not learned."""
    shape = tuple(x.shape[1:])
    sets = {
        "own": x[:OTHERS],
        "own, negative": 1 - x[:OTHERS],
        "handwritten digits": digits(OTHERS, shape),
        "photographs": photographs(OTHERS, shape),
    }
    rows, table = [], {}
    for name, pictures in sets.items():
        back = {way.name: way.back(pictures).x for way in chosen}
        table[name] = {way: (found - pictures).square().mean().item() for way, found in back.items()}
        rows += [Row(pictures[:FEW], label=name)] if name != "own" else []
        rows += [Row(found[:FEW], label=way) for way, found in back.items()] if name != "own" else []
    return sheet("other pictures, stored and brought back", rows), table
