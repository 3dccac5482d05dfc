"""One deep belief net per class: the lowest free energy wins, once the energies are comparable.

Each net learns by contrastive divergence from the examples of its own class alone. Their partition functions are
unknown, so free energies of different nets are on different scales; the `head` stage normalizes them and learns a gain
and a bias per class, by softmax (Hinton 2010, "A practical guide to training RBMs", section 16; see `FreeEnergies`).

x (B, ...), logits (B, C).
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dlcli.errors import DataError
from dlcli.model import Clock, Update
from dlcli.models.classifier import Classifier
from dlcli.models.greedy import SHOWN, Greedy, Memory
from dlcli.models.stages import ROW, Stages
from dlcli.models.supervised import one_class
from dlcli.samplers import Gibbs


class DBNPerClass(Classifier):
    """Learn a deep belief net of each class, then how to compare them; `learning`: see `Greedy`."""

    local = frozenset({"memories"})

    def __init__(
        self,
        *,
        net: Any,
        stages: Stages,
        classes: int,
        names: Sequence[str] | None = None,
        smoothing: float = 0.0,
        **learning: Any,
    ):
        super().__init__(net=net, classes=classes, names=names, smoothing=smoothing)
        self.net: Any
        stages.refuse("updown", "model", rule="DBNPerClass")
        self.stages = stages
        self.greedy = [Greedy(member, stages, **learning) for member in net.members]
        self.memories: Any = nn.ModuleList(Memory(member.shape) for member in net.members)

    def players(self) -> dict[str, Any]:
        each = [greedy.players() for greedy in self.greedy]
        layers = {name: [p for own in each for p in own[name]] for name in each[0] if name.startswith("layer")}
        return {**layers, "head": self.net.norm.parameters()}

    def ahead(self, clock: Clock) -> list[str]:
        return self.stages.ahead(clock)

    def updates(self, batch: Any, clock: Clock) -> Iterator[Update]:
        now = self.stages.now(clock)
        if clock.epoch or now.name == "head":
            self.require_classes()
        if now.name == "head":
            yield Update(self.loss(batch), "head")
            return
        assert now.layer is not None
        for label, (greedy, memory) in enumerate(zip(self.greedy, self.memories, strict=True)):
            if now.begins:
                greedy.begin(batch.x, now.layer)  # all classes: one batch may lack some of them
            own = batch.x[one_class(batch.y) == label]
            if len(own):
                memory.keep(own)
                greedy.contrast(own, now.layer)
        yield Update(None, now.name)
        if now.ends:
            for member in self.net.members:
                member.untie(now.layer)

    def require_classes(self) -> None:
        """Raise DataError if some class has shown no example by now."""
        missing = [name for name, memory in zip(self.names, self.memories, strict=True) if not memory.seen]
        if missing:
            raise DataError(
                f"no training example of class {', '.join(missing)}: this model learns a net of each class; "
                "use data (and a limit) with examples of every class, or model=dbn"
            )

    def show(self, batch: Any) -> dict[str, Tensor | str]:
        shown = super().show(batch)
        if len(self.net.members[0].shape) != 3:
            return shown
        return {**shown, "samples": self.sample(ROW * self.classes, Gibbs(steps=SHOWN)).clamp(0, 1)}

    def embed(self, batch: Any) -> Tensor:
        """Return the normalized free energies, (B, C): what the decision is made of."""
        return self(batch.x)

    def sample(self, n: int, sampler: Any) -> Tensor:
        """Draw from the net of each class as many examples as the sampler asks for, one class after the other."""
        counts = sampler.labels(n, self.names).bincount(minlength=self.classes).tolist()
        nets = zip(counts, self.greedy, self.memories, strict=True)
        return torch.cat([greedy.sample(count, sampler, memory) for count, greedy, memory in nets if count])
