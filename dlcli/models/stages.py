"""Stages of a greedy training (Hinton, Osindero & Teh 2006; Bengio et al. 2007): shares of the run.

    pretrain=[1, 1], head=0.5, model=2  of 450 steps:  layer0 0..99, layer1 100..199, head 200..249, model 250..449

Each layer in turn; `updown` tunes a deep belief net as a model of its inputs; `head` learns to classify on frozen
layers; `model` tunes everything by backpropagation. A share of 0 leaves a stage out. All follows from the clock, so a
resumed run finds its stage again. The schedule of the learning rate spans the whole run, not each stage: a stage takes
it up where the one before has left it, and `players.NAME.lr` gives a stage a rate of its own.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import ceil, inf
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dlcli.errors import ConfigError
from dlcli.model import Clock
from dlcli.models.supervised import linear_layers

ROW = 8  # pictures
RECONSTRUCTION = "reconstruction"  # of the input by all layers together; with a number, by that layer of its own
ROUNDING = 1e-9  # ten shares of 0.1 are a little less than 1


class Now(NamedTuple):
    """Where a batch stands."""

    name: str  # layer0, layer1, ..., updown, head, model: the player that learns
    layer: int | None  # which layer, in the stages of layers
    begins: bool  # whether this is the first batch of the stage
    ends: bool  # whether it is the last


@dataclass(frozen=True, kw_only=True)
class Stages:
    """How long each stage lasts; only the proportions count."""

    pretrain: Sequence[float]
    updown: float = 0.0
    head: float = 0.0
    model: float = 0.0

    def __post_init__(self) -> None:
        """Refuse shares that are none."""
        for name, share in self.shares.items():
            if not 0 <= share < inf:
                raise ConfigError(f"model.stages: {name} has the share {share}; give 0 or more, 0 leaves it out")
        if not sum(self.shares.values()):
            raise ConfigError("model.stages: all shares are 0, so nothing would be learned; raise one of them")

    @property
    def shares(self) -> dict[str, float]:
        """The share of each stage by its name, in their order."""
        layers = {f"layer{i}": share for i, share in enumerate(self.pretrain)}
        return {**layers, "updown": self.updown, "head": self.head, "model": self.model}

    @property
    def classify(self) -> bool:
        """Whether a classifier on top learns in one of them."""
        return bool(self.head or self.model)

    @property
    def monitor(self) -> str:
        """The score that says which epoch was best."""
        return "accuracy" if self.classify else RECONSTRUCTION

    def notes(self) -> list[str]:
        """Say what a classifier on top will lack."""
        if self.classify:
            return []
        return [
            "the classifier learns in no stage, so its answers are those of random weights; for what is learned "
            "without labels that is fine, for accuracy raise model.stages.head or model.stages.model"
        ]

    def require(self, layers: int) -> None:
        """Raise ConfigError unless there is one share for each layer."""
        if len(self.pretrain) != layers:
            raise ConfigError(
                f"model.stages.pretrain={list(self.pretrain)} has {len(self.pretrain)} shares for {layers} layers; "
                "give one share of the run for each layer"
            )

    def refuse(self, *names: str, rule: str) -> None:
        """Raise ConfigError if a stage has a share of the run that a rule does not know."""
        for name in names:
            if self.shares[name]:
                raise ConfigError(f"model.stages.{name}={self.shares[name]:g}: a {rule} has no such stage; give it 0")

    def spans(self, steps: int) -> dict[str, range]:
        """Return the steps of each stage in a run of so many."""
        whole = sum(self.shares.values())
        ends = [ceil(end * steps / whole * (1 - ROUNDING)) for end in accumulate(self.shares.values())]
        return dict(zip(self.shares, map(range, [0, *ends], ends), strict=True))

    def ahead(self, clock: Clock) -> list[str]:
        """Name the stages that have not begun."""
        return [name for name, span in self.spans(clock.steps).items() if span and span.start >= clock.step]

    def now(self, clock: Clock) -> Now:
        """Return the stage of a batch. Raises ConfigError if the run is too short for one of them."""
        shares, spans = self.shares, self.spans(clock.steps)
        for name, share in shares.items():
            if share and not spans[name]:
                raise ConfigError(
                    f"model.stages: {name} with the share {share:g} of {sum(shares.values()):g} gets none of the "
                    f"{clock.steps} steps of the run; train for more epochs, or give it a larger share"
                )
        place, (name, span) = next(item for item in enumerate(spans.items()) if clock.step in item[1][1])
        layer = place if place < len(self.pretrain) else None
        return Now(name, layer, clock.step == span.start, clock.step == span.stop - 1)


def require_widths(net: nn.Module, source: str, widths: Sequence[int]) -> None:
    """Raise ConfigError unless the hidden layers of a classifier are as wide as those that it takes over."""
    own = [layer.out_features for layer in linear_layers(net)[:-1]]
    if own != list(widths):
        raise ConfigError(
            f"model.net.widths={own}, model.{source}.widths={list(widths)}: the classifier takes over the layers of "
            f"the {source}, so both must be the same"
        )


def units(net: nn.Module, kind: type[nn.Module]) -> tuple[int, int]:
    """Return how many hidden layers a classifier has, and how many activations of a kind."""
    return len(linear_layers(net)) - 1, sum(type(layer) is kind for layer in net.modules())


def require_activations(net: nn.Module, activation: str, kind: type[nn.Module]) -> None:
    """Raise ConfigError unless the hidden layers of a classifier have the activation of the encoders it takes over."""
    hidden, found = units(net, kind)
    if found != hidden:
        raise ConfigError(
            f"model.autoencoders.activation={activation}, of which model.net has {found} for {hidden} hidden layers: "
            f"the classifier takes over the encoders, so both must be the same; use model.net.activation={activation}"
        )


def require_sigmoids(net: nn.Module) -> None:
    """Raise ConfigError unless the hidden layers of a classifier are sigmoids, as those of RBMs."""
    hidden, found = units(net, nn.Sigmoid)
    if found != hidden:
        raise ConfigError(
            f"model.net has {found} sigmoids for {hidden} hidden layers: the classifier takes over RBMs, whose units "
            "are sigmoids; use model.net.activation=sigmoid"
        )


@torch.no_grad()
def inherit(net: nn.Module, layers: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Give the hidden layers of a classifier, unless frozen, weights and biases that were learned without labels."""
    for layer, learned in zip(linear_layers(net), layers, strict=False):
        for own, given in zip((layer.weight, layer.bias), learned, strict=True):
            if own.requires_grad:
                own.copy_(given)


def reconstructions(measured: dict[str, Tensor]) -> dict[str, float]:
    """Return the mean errors with which all layers rebuild the input, and each layer its own."""
    return {name: v.double().mean().item() for name, v in measured.items() if name.startswith(RECONSTRUCTION)}


def beside(x: Tensor, rebuilt: Tensor) -> Tensor:
    """Return rows of pictures (N, C, H, W), below each row what became of it."""
    rows = zip(x[: 4 * ROW].split(ROW), rebuilt[: 4 * ROW].clamp(0, 1).split(ROW), strict=True)
    return torch.cat([picture for pair in rows for picture in pair])
