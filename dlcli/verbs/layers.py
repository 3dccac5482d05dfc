"""The layers of a model: output shapes, weights, connections.

A weight that is used at several places of a map makes a connection at each: connections are weights (biases included)
times map positions, and for pooling the inputs that each output looks at.
"""

from collections.abc import Iterable
from math import prod
from typing import Any, NamedTuple

import torch
from torch import nn

from dlcli.batch import Images, Table
from dlcli.config.build import build


class Layer(NamedTuple):
    """One row of the parameter table."""

    name: str
    kind: str
    shape: tuple[int, ...]  # of one example's output
    weights: int
    connections: int


def layers(node: dict[str, Any], facts: dict[str, Any], plugins: Iterable[str] = ()) -> list[Layer]:
    """Return the layers of a model node in the order in which they run on one made-up batch."""
    model = build(node, plugins).eval()
    rows: list[Layer] = []
    for name, module in model.named_modules():
        if not list(module.children()):
            module.register_forward_hook(lambda m, given, result, name=name: rows.append(row(name, m, result)))
    with torch.no_grad():
        model.measure(batch(facts))
    return rows


def row(name: str, module: nn.Module, result: torch.Tensor) -> Layer:
    """Return the row of one module."""
    shape = tuple(result.shape[1:])
    weights = sum(p.numel() for p in module.parameters(recurse=False))
    return Layer(name, type(module).__name__, shape, weights, connections(module, shape, weights))


def connections(module: nn.Module, shape: tuple[int, ...], weights: int) -> int:
    """Return how many connections a module makes for one example."""
    if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
        return weights * prod(shape[1:])
    if isinstance(module, (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)):
        return weights * prod(shape[1:]) // prod(module.stride)
    if isinstance(module, (nn.MaxPool2d, nn.AvgPool2d)):
        size = module.kernel_size
        return prod(shape) * (size * size if isinstance(size, int) else prod(size))
    return weights


def batch(facts: dict[str, Any], size: int = 2) -> Images | Table:
    """Return made-up examples with the shapes that the facts state."""
    if facts.get("labels", 1) > 1 and "classes" not in facts:
        y = torch.zeros(size, facts["labels"])
    else:
        y = torch.zeros(size, facts["targets"]) if facts.get("targets") else torch.zeros(size, dtype=torch.long)
    if facts["kind"] == "images":
        return Images(torch.zeros(size, facts["channels"], facts["height"], facts["width"]), y)
    return Table(torch.zeros(size, facts["features"]), y)
