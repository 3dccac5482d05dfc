"""Receptive fields: how much of the input each place of a map can see, and how far apart neighbours look.

    r = r_in + (k - 1) d j_in       j = j_in s          convolution and pooling
    r = r_in + (ceil(k / s) - 1) j_in,  j = j_in / s    transposed convolution

r pixels along a side, j pixels between the fields of neighbouring places (jump), k kernel, s stride, d dilation
(Araujo, Norris & Sim 2019). Where branches meet the largest field counts; statistics of norms are not counted. The
operations themselves are watched, in the order in which they run, so that no net has to describe itself. What mixes
places in another way (attention, a linear layer) has no field here, and nothing after it has.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

aten = torch.ops.aten
POOLS = {aten.max_pool2d_with_indices, aten.max_pool3d_with_indices, aten.avg_pool2d, aten.avg_pool3d}
ADAPTIVE = {
    aten._adaptive_avg_pool2d, aten._adaptive_avg_pool3d, aten.adaptive_max_pool2d, aten.adaptive_max_pool3d,
    aten.mean, aten.amax,
}  # fmt: skip
SAME = {
    aten.cat, aten.constant_pad_nd, aten.slice, aten.alias, aten.detach, aten.clone, aten.index, aten.select,
    aten.native_batch_norm, aten._native_batch_norm_legit_no_training, aten._batch_norm_no_update,
    aten.native_group_norm,
}  # fmt: skip


class Field(NamedTuple):
    """What one place of a map sees of the input, along each side."""

    size: tuple[float, ...]
    jump: tuple[float, ...]

    def after(self, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> "Field":
        """Return the field after a convolution or pooling."""
        steps = zip(self.size, self.jump, kernel, dilation, strict=True)
        size = tuple(r + (k - 1) * d * j for r, j, k, d in steps)
        return Field(size, tuple(j * s for j, s in zip(self.jump, stride, strict=True)))

    def lifted(self, kernel: Sequence[int], stride: Sequence[int]) -> "Field":
        """Return the field after a transposed convolution."""
        steps = zip(self.size, self.jump, kernel, stride, strict=True)
        size = tuple(r + (-(-k // s) - 1) * j for r, j, k, s in steps)
        return Field(size, tuple(j / s for j, s in zip(self.jump, stride, strict=True)))

    def __str__(self) -> str:
        return f"{sides(self.size)} / {sides(self.jump)}"


def sides(values: tuple[float, ...]) -> str:
    """Return one number where all sides agree."""
    shown = [f"{value:g}" for value in values]
    return shown[0] if len(set(shown)) == 1 else "x".join(shown)


def every(value: int | Sequence[int], dims: int) -> list[int]:
    """Return one number per side."""
    values = [value] if isinstance(value, int) else list(value)
    return values * dims if len(values) == 1 else values


class Watch(TorchDispatchMode):
    """Follow the fields of all tensors that come from one input while the context lasts."""

    def __init__(self, x: Tensor):
        super().__init__()
        dims = x.dim() - 2
        self.fields: Any = WeakTensorKeyDictionary()
        self.fields[x] = Field((1,) * dims, (1,) * dims) if dims > 0 else None

    def of(self, x: Any) -> Field | None:
        """Return the field of a tensor, None where it has none."""
        return self.fields.get(x) if isinstance(x, Tensor) else None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor) and x in self.fields]
        if given:
            known = [self.fields[x] for x in given]
            field = None if None in known else self.step(func, args, largest(known))
            for out in tree_leaves(result):
                if isinstance(out, Tensor):
                    self.fields[out] = field if field and out.dim() == len(field.size) + 2 else None
        return result

    def step(self, func: Any, args: Any, field: Field) -> Field | None:
        """Return the field after one operation whose inputs have `field`."""
        packet, dims = func.overloadpacket, len(field.size)
        if packet is aten.convolution:
            kernel, stride, dilation = args[1].shape[2:], every(args[3], dims), every(args[5], dims)
            return field.lifted(kernel, stride) if args[6] else field.after(kernel, stride, dilation)
        if packet in POOLS:
            kernel = every(args[1], dims)
            stride = every(args[2], dims) if len(args) > 2 and args[2] else kernel
            dilated = packet in (aten.max_pool2d_with_indices, aten.max_pool3d_with_indices) and len(args) > 4
            return field.after(kernel, stride, every(args[4], dims) if dilated else [1] * dims)
        if packet in ADAPTIVE:
            return shrunk(args, packet, field)
        if packet in (aten.squeeze, aten.unsqueeze):
            return turned(packet, args, field)
        return field if packet in SAME or torch.Tag.pointwise in func.tags else None


def largest(fields: list[Field]) -> Field:
    """Return the largest of several fields, side by side."""
    dims = len(fields[0].size)
    if any(len(field.size) != dims for field in fields):
        return fields[0]
    return Field(
        tuple(max(f.size[i] for f in fields) for i in range(dims)),
        tuple(max(f.jump[i] for f in fields) for i in range(dims)),
    )


def turned(packet: Any, args: Any, field: Field) -> Field | None:
    """Return the field with a side more or less: torch pools signals as pictures of one row."""
    size, jump = list(field.size), list(field.jump)
    if len(args) < 2 or not isinstance(args[1], int):
        return None
    side = args[1] % (args[0].dim() + (packet is aten.unsqueeze)) - 2
    if side < 0:
        return None
    for values in (size, jump):
        if packet is aten.unsqueeze:
            values.insert(side, 1)
        else:
            del values[side]
    return Field(tuple(size), tuple(jump))


def shrunk(args: Any, packet: Any, field: Field) -> Field | None:
    """Return the field after pooling to a given number of places; all places, unless they are told."""
    dims = len(field.size)
    places = args[0].shape[2:]
    if packet in (aten.mean, aten.amax):
        reduced = {axis % args[0].dim() for axis in args[1]} if len(args) > 1 and args[1] else set()
        if reduced != set(range(2, dims + 2)):
            return None
        return field.after(places, [1] * dims, [1] * dims)
    ratios = list(zip(places, every(args[1], dims), strict=True))
    windows = [spans(*ratio) for ratio in ratios]
    return field.after([max(window) for window in windows], [max(1, n // m) for n, m in ratios], [1] * dims)


def spans(given: int, left: int) -> list[int]:
    """Return how many places each window of an adaptive pooling covers."""
    return [-(-(i + 1) * given // left) - i * given // left for i in range(left)]
