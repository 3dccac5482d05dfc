"""A deep belief net of x and its class (Hinton, Osindero & Teh 2006, Neural Computation 18): 1.25 % error on MNIST.

C label units, one of which is on, stand beside the layer below the top one, and the top RBM models both together.

    p(y | x) = softmax_y(-F(h, y)),   h the units below the top RBM given x,   F its free energy: the lowest wins

Nothing is learned by backpropagation: the labels are data like any other, and up-down training tunes all layers as a
model of (x, y). With the label units held, the net draws examples of a class. x (B, ...), logits (B, C).
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from dlcli.errors import ConfigError
from dlcli.model import Clock, Update
from dlcli.models.classifier import Classifier
from dlcli.models.greedy import Greedy, Memory
from dlcli.models.stages import ROW, Stages, reconstructions
from dlcli.models.supervised import one_class
from dlcli.samplers import Gibbs, Prior


class JointDBN(Classifier):
    """Learn x and y together, layer by layer, then up-down; the lowest free energy wins; `learning`: see `Greedy`."""

    local = frozenset({"memory"})

    def __init__(
        self,
        *,
        net: Any,
        stages: Stages,
        classes: int,
        names: Sequence[str] | None = None,
        **learning: Any,
    ):
        super().__init__(net=net, classes=classes, names=names)
        self.net: Any
        if net.labels != classes:
            raise ConfigError(f"model.net.labels={net.labels} for {classes} classes; there must be a unit for each")
        stages.refuse("head", "model", rule="JointDBN")
        self.stages, self.greedy = stages, Greedy(net, stages, **learning)
        self.memory = Memory(net.shape)

    def forward(self, x: Tensor) -> Tensor:  # (B, ...) -> (B, C)
        return -self.net.top.by_label(self.net.up(x))

    def players(self) -> dict[str, Any]:
        return self.greedy.players()

    def ahead(self, clock: Clock) -> list[str]:
        return self.stages.ahead(clock)

    def updates(self, batch: Any, clock: Clock) -> Iterator[Update]:
        self.memory.keep(batch.x)
        yield from self.greedy.updates(batch.x, self.stages.now(clock), self.units(one_class(batch.y)))

    def units(self, y: Tensor) -> Tensor:
        """Return classes as label units, (B,) -> (B, C)."""
        return F.one_hot(y, self.classes).float()

    def measure(self, batch: Any) -> dict[str, Tensor]:
        return {**super().measure(batch), **self.greedy.errors(batch.x)}

    def score(self, measured: dict[str, Tensor]) -> dict[str, float]:
        return {**super().score(measured), **reconstructions(measured)}

    def show(self, batch: Any) -> dict[str, Tensor | str]:
        rows = self.asked(ROW * self.classes, Gibbs())
        return {**super().show(batch), **self.greedy.pictures(batch.x, self.memory, rows)}

    def embed(self, batch: Any) -> Tensor:
        return self.net.encode(batch.x)

    def decode(self, codes: Tensor) -> Tensor:
        """Return what codes (B, Z) stand for, in the shape of x."""
        return self.net.decode(codes)

    def rebuild(self, x: Tensor) -> Tensor:
        """Return what the net makes of x, in its shape."""
        return self.decode(self.net.encode(x))

    def sample(self, n: int, sampler: Any) -> Tensor:
        if isinstance(sampler, Gibbs | Prior):
            return self.greedy.sample(n, sampler, self.memory, self.asked(n, sampler))
        if sampler.label is not None:
            raise ConfigError(
                f"sampler.label={sampler.label}: codes of a {type(self).__name__} hold their class already, so none "
                "can be chosen between them; use sampler=gibbs"
            )
        return self.greedy.sample(n, sampler, self.memory)

    def asked(self, n: int, sampler: Any) -> Tensor:
        """Return the label units of the classes that a sampler asks for, (n, C)."""
        return self.units(sampler.labels(n, self.names).to(next(self.parameters()).device))
