"""LoRA: learn a low-rank change of each weight instead of the weight (Hu et al. 2021, arXiv:2106.09685).

    weight' = weight + alpha / rank * up @ down

weight (O, ...) read as a matrix (O, I), I = everything but the output channels; down (rank, I) starts normal with
variance 1 / I, up (O, rank) at zero, so that training starts from exactly the net that was there. Only the factors
learn. Outside training nobody sees them: `merged` adds them to the weights once and for all.
"""

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from dlcli.errors import CheckpointError, ConfigError

FACTOR = re.compile(r"(.+)\.parametrizations\.(\w+)\.0\.(down|up|scale)")
ORIGINAL = re.compile(r"^(.+)\.parametrizations\.(\w+)\.original")
LAYERS = (nn.Linear, nn.modules.conv._ConvNd)


class LowRank(nn.Module):
    """The change of one weight; a parametrization, so that the layer itself stays what it is."""

    def __init__(self, weight: Tensor, *, rank: int, alpha: float):
        super().__init__()
        matrix = weight.flatten(1)
        inside = min(rank, *matrix.shape)  # more would not add anything
        self.down = nn.Parameter(torch.randn(inside, matrix.shape[1]) * matrix.shape[1] ** -0.5)
        self.up = nn.Parameter(torch.zeros(matrix.shape[0], inside))
        self.scale: Tensor
        self.register_buffer("scale", torch.tensor(alpha / rank))

    def forward(self, weight: Tensor) -> Tensor:  # (O, ...) -> (O, ...)
        return changed(weight, self.down, self.up, self.scale)


def changed(weight: Tensor, down: Tensor, up: Tensor, scale: Tensor) -> Tensor:
    """Return a weight with its low-rank change."""
    return weight + (scale * (up @ down)).view(weight.shape)


def attach(model: nn.Module, *, rank: int, alpha: float, layers: Iterable[str], learn: Iterable[str] = ()) -> None:
    """Give linear and convolutional layers their factors, but for those that `learn` as a whole; rank 0: none.

    Raises ConfigError if no layer is named like `layers`.
    """
    if not rank:
        return
    known = [(name, layer) for name, layer in model.named_modules() if isinstance(layer, LAYERS)]
    chosen = [
        (name, layer)
        for name, layer in known
        if fits(name, layers) and not fits(f"{name}.weight", learn) and not parametrize.is_parametrized(layer, "weight")
    ]
    if not chosen:
        names = ", ".join(name for name, _ in known[:5]) or "none"
        raise ConfigError(
            f"lora.layers={list(layers)}: no linear or convolutional layer is named like this, or all of them learn as "
            f"a whole; the model has {names}; `dl show` lists the names"
        )
    for _, layer in chosen:
        parametrize.register_parametrization(layer, "weight", LowRank(layer.weight, rank=rank, alpha=alpha))


def merged(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights under the names of the plain net, each change added to its weight.

    Raises CheckpointError if factors do not fit their weight: the file may be a stranger's.
    """
    changes = sorted({(match[1], match[2]) for match in map(FACTOR.fullmatch, tensors) if match})
    found = {name: value for name, value in tensors.items() if not is_factor(name)}
    for layer, kind in changes:  # other parametrizations, such as a spectral norm, keep their names
        part = f"{layer}.parametrizations.{kind}"
        found.pop(f"{part}.original", None)
        parts = [tensors.get(f"{part}.{name}") for name in ("original", "0.down", "0.up", "0.scale")]
        if not fitting(*parts):
            raise CheckpointError(f"{layer}.{kind}: damaged, its low-rank factors do not fit it")
        found[f"{layer}.{kind}"] = changed(*parts)  # type: ignore[arg-type]
    return found


def fitting(weight: Tensor | None, down: Tensor | None, up: Tensor | None, scale: Tensor | None) -> bool:
    """Tell whether all are there, and the product of the factors has the size of the weight."""
    if weight is None or down is None or up is None or scale is None:
        return False
    sized = weight.ndim > 1 and down.ndim == up.ndim == 2 and scale.ndim == 0 and up.shape[1] == down.shape[0]
    return sized and (up.shape[0], down.shape[1]) == tuple(weight.flatten(1).shape)


def plain(name: str) -> str:
    """Return the name that a parameter has in the net without LoRA."""
    return ORIGINAL.sub(r"\1.\2", name)


def is_factor(name: str) -> bool:
    """Tell whether a parameter or buffer belongs to a low-rank change."""
    return FACTOR.fullmatch(name) is not None


def fits(name: str, patterns: Iterable[str]) -> bool:
    """Tell whether a name is like one of the patterns."""
    return any(fnmatchcase(name, str(pattern)) for pattern in patterns)
