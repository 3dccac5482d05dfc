"""A deep belief net and the classifier that starts from it (Hinton, Osindero & Teh 2006, Neural Computation 18).

    1  layer0, layer1, ...  RBMs by contrastive divergence, each on what the ones below make of x; no labels
    2  updown               all layers together as a model of x, if wanted
    3  head                 softmax on the frozen features of the highest layer
    4  model                everything by backpropagation: cross-entropy with label smoothing

The classifier is a net of its own, which takes over the weights at the end of every stage of 1 and 2, and reads the
same visible units: real numbers are standardized, for `generator.gaussian`, by mean and deviation. So the deep
belief net stays the model of x that it was, to be sampled from, to encode and to decode, whatever the labels do to the
classifier. x (B, ...), logits (B, C), codes (B, widths[-1]).
"""

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from dlcli.model import Clock, Update
from dlcli.models.classifier import Classifier
from dlcli.models.greedy import Greedy, Memory
from dlcli.models.stages import Stages, inherit, reconstructions, require_sigmoids, require_widths
from dlcli.models.supervised import linear_layers
from dlcli.samplers import refuse_label


class DBN(Classifier):
    """Learn RBMs layer by layer, then a classifier on top, then all of it together; `learning`: see `Greedy`."""

    local = frozenset({"memory"})

    def __init__(
        self,
        *,
        net: nn.Module,
        generator: Any,
        stages: Stages,
        classes: int,
        names: Sequence[str] | None = None,
        smoothing: float = 0.0,
        **learning: Any,
    ):
        super().__init__(net=net, classes=classes, names=names, smoothing=smoothing)
        self.generator, self.stages, self.monitor = generator, stages, stages.monitor
        self.greedy = Greedy(generator, stages, **learning)
        self.memory = Memory(generator.shape)
        require_widths(net, "generator", generator.widths)
        require_sigmoids(net)

    def notes(self) -> list[str]:
        """Say what may go wrong with these values."""
        return self.stages.notes()

    def forward(self, x: Tensor) -> Tensor:  # (B, ...) -> (B, C)
        return self.net(self.generator.enter(x))

    def players(self) -> dict[str, Any]:
        head = linear_layers(self.net)[-1]
        return {**self.greedy.players(), "head": head.parameters(), "model": self.net.parameters()}

    def ahead(self, clock: Clock) -> list[str]:
        return self.stages.ahead(clock)

    def updates(self, batch: Any, clock: Clock) -> Iterator[Update]:
        now = self.stages.now(clock)
        if now.name in ("head", "model"):
            yield Update(self.loss(batch), now.name)
            return
        self.memory.keep(batch.x)
        yield from self.greedy.updates(batch.x, now)
        if now.ends:
            inherit(self.net, self.generator.upward())

    def measure(self, batch: Any) -> dict[str, Tensor]:
        return {**super().measure(batch), **self.greedy.errors(batch.x)}

    def score(self, measured: dict[str, Tensor]) -> dict[str, float]:
        return {**super().score(measured), **reconstructions(measured)}

    def show(self, batch: Any) -> dict[str, Tensor | str]:
        return {**super().show(batch), **self.greedy.pictures(batch.x, self.memory)}

    def embed(self, batch: Any) -> Tensor:
        return self.generator.encode(batch.x)

    def decode(self, codes: Tensor) -> Tensor:
        """Return what codes (B, Z) stand for, in the shape of x."""
        return self.generator.decode(codes)

    def rebuild(self, x: Tensor) -> Tensor:
        """Return what the deep belief net makes of x, in its shape."""
        return self.decode(self.generator.encode(x))

    def sample(self, n: int, sampler: Any) -> Tensor:
        refuse_label(sampler, self)
        return self.greedy.sample(n, sampler, self.memory)
