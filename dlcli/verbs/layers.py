"""The layers of a model: output shapes, receptive fields, weights, connections.

A weight that is used at several places of a map makes a connection at each: connections are weights (biases included)
times map positions, and for pooling the inputs that each output looks at.
"""

from collections.abc import Iterable
from math import prod
from typing import Any, NamedTuple

import torch
from torch import nn

from dlcli.batch import Images, Masks, Pairs, Signals, Table, Tokens, Translations
from dlcli.config.build import build
from dlcli.verbs.field import Field, Watch


class Layer(NamedTuple):
    """One row of the parameter table."""

    name: str
    kind: str
    shape: tuple[int, ...]  # of one example's output
    weights: int
    connections: int
    field: Field | None = None  # where a place of its output sees a part of the input


def layers(node: dict[str, Any], facts: dict[str, Any], plugins: Iterable[str] = ()) -> list[Layer]:
    """Return the layers of a model node in the order in which they run on one made-up batch."""
    model = build(node, plugins).eval()
    given = batch(facts)
    watch = Watch(given.x)
    rows: list[Layer] = []

    def note(name: str, module: nn.Module, result: Any) -> None:
        while isinstance(result, tuple):  # a recurrent net puts out its state too
            result = result[0]
        if name not in {row.name for row in rows}:  # a layer that is used again has no weights more
            rows.append(row(name, module, result)._replace(field=watch.of(result)))

    for name, module in model.named_modules():
        if not list(module.children()):
            module.register_forward_hook(lambda m, _, result, name=name: note(name, m, result))
    with torch.no_grad(), watch:
        model.measure(given)
    return rows + idle(model, {row.name for row in rows})


def idle(model: nn.Module, ran: set[str]) -> list[Layer]:
    """Return the layers with weights that evaluation does without, such as auxiliary heads."""
    unused = [(name, m) for name, m in model.named_modules() if name not in ran and not list(m.children())]
    rows = [row(name, module, torch.zeros(1)) for name, module in unused]
    return [one._replace(kind=f"{one.kind} (training)", connections=0) for one in rows if one.weights]


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


Batch = Images | Masks | Pairs | Signals | Table | Tokens | Translations


def batch(facts: dict[str, Any], size: int = 2) -> Batch:
    """Return made-up examples with the shapes that the facts state."""
    if facts["kind"] in ("tokens", "translations"):
        return texts(facts, size)
    if facts.get("labels", 1) > 1 and "classes" not in facts:
        y = torch.zeros(size, facts["labels"])
    else:
        y = torch.zeros(size, facts["targets"]) if facts.get("targets") else torch.zeros(size, dtype=torch.long)
    if facts["kind"] in ("images", "pairs"):
        x = torch.zeros(size, facts["channels"], facts["height"], facts["width"])
        return Images(x, y) if facts["kind"] == "images" else Pairs(x, y, x)
    if facts["kind"] == "masks":
        pixels = (size, facts["height"], facts["width"])
        x = torch.zeros(size, facts["channels"], facts["height"], facts["width"])
        return Masks(x, torch.zeros(pixels, dtype=torch.long), torch.ones(pixels))
    if facts["kind"] == "signals":
        return Signals(torch.zeros(size, facts["channels"], facts["length"]), y)
    return Table(torch.zeros(size, facts["features"]), y)


def texts(facts: dict[str, Any], size: int) -> Tokens | Translations:
    """Return made-up texts, and an answer for each; for each token without classes, or where `each` is stated."""
    x = torch.ones(size, facts["context"], dtype=torch.long)
    if facts["kind"] == "translations":
        return Translations(torch.ones(size, facts["source_context"], dtype=torch.long), x)
    each = "classes" not in facts or facts.get("each")
    return Tokens(x, torch.zeros_like(x) if each else torch.zeros(size, dtype=torch.long))
