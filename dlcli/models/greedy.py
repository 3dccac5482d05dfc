"""Greedy learning of a deep belief net, its up-down tuning, and drawing from it (Hinton, Osindero & Teh 2006).

    greedy:   the RBM of layer i learns by contrastive divergence from what the layers below make of x
    up-down:  wake   recognition draws h1 ... from x; each layer learns to rebuild the drawn one below it
              top    contrastive divergence of the top RBM from the drawn h_n-1
              sleep  generation draws a dream from the top; each recognition layer learns to name its causes

x (B, ...), y (B, C) one-hot labels for a net that models them.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlcli.errors import ConfigError
from dlcli.model import Update
from dlcli.models.contrastive import ContrastiveDivergence, Sparsity
from dlcli.models.stages import RECONSTRUCTION, ROW, Now, Stages, beside
from dlcli.samplers import Gibbs, chain

KEPT = 64  # training examples from which chains may start
BURN_IN = 1000  # Gibbs steps where no sampler says how many
SHOWN = 200  # Gibbs steps of the samples that are shown in training


class Memory(nn.Module):
    """The first training examples, kept as places where chains may start."""

    kept: Tensor  # (KEPT, ...)
    seen: Tensor  # how many of them there are by now

    def __init__(self, shape: tuple[int, ...]):
        super().__init__()
        self.register_buffer("kept", torch.zeros(KEPT, *shape))
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))

    def keep(self, x: Tensor) -> None:
        """Store examples as long as there is room."""
        first = int(self.seen)
        count = min(len(x), KEPT - first)
        self.kept[first : first + count] = x[:count].view(count, *self.kept.shape[1:])
        self.seen += count

    def some(self, count: int) -> Tensor:
        """Return so many of the examples, from the first on, again and again if need be."""
        return self.kept[torch.arange(count, device=self.kept.device) % max(1, int(self.seen))]


class Greedy:
    """How a deep belief net learns without labels; all that it has to remember stands in the net.

    Layers learn from the probabilities of the one below, or, without `mean_field`, from draws. The other choices are
    those of contrastive divergence, for each layer alike.
    """

    def __init__(
        self,
        net: Any,
        stages: Stages,
        *,
        steps: int = 1,
        mean_field: bool = True,
        hidden_samples: bool = False,
        visible_samples: bool = True,
        sparsity: Sparsity | None = None,
    ):
        stages.require(len(net.layers))
        if stages.updown and len(net.layers) == 1:
            raise ConfigError(
                f"model.stages.updown={stages.updown}: a single layer has nothing to tune; use two layers, or 0"
            )
        self.net, self.steps, self.mean_field = net, steps, mean_field
        self.top = len(net.layers) - 1
        shapes = [list(net.shape), *(None for _ in net.layers[1:])]
        self.rules = [
            ContrastiveDivergence(
                net=layer,
                steps=steps,
                hidden_samples=hidden_samples,
                visible_samples=visible_samples,
                sparsity=sparsity,
                shape=shape,
            )
            for layer, shape in zip(net.layers, shapes, strict=True)
        ]

    def players(self) -> dict[str, list[Tensor]]:
        """Return the parameters of each layer, and of both halves of the up-down training."""
        layers = {f"layer{i}": list(layer.parameters()) for i, layer in enumerate(self.net.layers)}
        wake = [p for layer in self.net.layers[:-1] for p in (layer.weight, layer.visible_bias)]
        return {**layers, "wake": wake, "sleep": list(self.net.recognition.parameters())}

    def updates(self, x: Tensor, now: Now, y: Tensor | None = None) -> Iterator[Update]:
        """Yield the steps of an unsupervised stage on one batch."""
        if now.layer is None:
            yield from self.updown(x, y)
            return
        if now.begins:
            self.begin(x, now.layer, y)
        self.contrast(x, now.layer, y)
        yield Update(None, now.name)
        if now.ends:
            self.net.untie(now.layer)

    @torch.no_grad()
    def begin(self, x: Tensor, layer: int, y: Tensor | None = None) -> None:
        """Let the first batch of a layer's stage set its visible biases."""
        v = self.below(x, layer, y)
        self.rules[layer].require_units(v)
        self.net.layers[layer].start(v)

    @torch.no_grad()
    def contrast(self, x: Tensor, layer: int, y: Tensor | None = None) -> None:
        """Write the gradient of one layer."""
        self.write(layer, self.below(x, layer, y))

    def below(self, x: Tensor, layer: int, y: Tensor | None) -> Tensor:
        """Return what a layer learns from, (B, V): probabilities of the units below, or draws; labels at the top."""
        v = self.net.up(x, layer, draw=not self.mean_field)
        return v if y is None or layer < self.top else torch.cat([v, y], dim=1)

    def write(self, layer: int, v: Tensor) -> None:
        """Write the gradient of one layer from its visible units (B, V)."""
        for name, slope in self.rules[layer].slopes(v).items():
            getattr(self.net.layers[layer], name).grad = slope

    def updown(self, x: Tensor, y: Tensor | None = None) -> Iterator[Update]:
        """Yield the three steps of up-down learning on one batch."""
        net, top = self.net, self.top
        with torch.no_grad():
            awake = net.path(x, top, draw=True)
            dream = net.down(net.relax(awake[-1], self.steps, y), draw=True)
            self.write(top, awake[-1] if y is None else torch.cat([awake[-1], y], dim=1))
        yield Update(None, f"layer{top}")
        wake = [
            layer.surprise(below, layer.visible_input(above)).sum() / len(x)
            for layer, (below, above) in zip(net.layers[:-1], pairwise(awake), strict=True)
        ]
        yield Update(torch.stack(wake).sum(), "wake")
        sleep = [
            F.binary_cross_entropy_with_logits(layer(below), above, reduction="sum") / len(x)
            for layer, (below, above) in zip(net.recognition, pairwise(dream), strict=True)
        ]
        yield Update(torch.stack(sleep).sum(), "sleep")

    def errors(self, x: Tensor) -> dict[str, Tensor]:
        """Return the mean squared error with which all layers rebuild x, and each its own input, (B,) each."""
        path = self.net.path(x, len(self.net.recognition))
        rebuilt = self.net.enter(self.net.decode(self.net.encode(x)))
        return {RECONSTRUCTION: (rebuilt - path[0]).square().mean(1)} | {
            f"{RECONSTRUCTION} {i}": (layer.visible(layer.hidden(v)) - v).square().mean(1)
            for i, (layer, v) in enumerate(zip(self.net.layers, path, strict=True))
            if layer.weight.shape[1] == v.shape[1]  # the label units of a top layer are not given here
        }

    def sample(self, n: int, sampler: Any, memory: Memory, y: Tensor | None = None) -> Tensor:
        """Draw examples: Gibbs steps at the top from noise or kept examples, then one pass down."""
        sampler = chain(sampler, BURN_IN)
        if not isinstance(sampler, Gibbs):
            return self.net.decode(sampler(n, self.net.widths[-1], lambda count: self.net.encode(memory.some(count))))
        units = self.net.up(memory.some(n), draw=True)
        if sampler.start == "noise":
            units = torch.rand_like(units).round_()
        return self.net.generate(units, sampler.steps, y)

    def pictures(self, x: Tensor, memory: Memory, y: Tensor | None = None) -> dict[str, Tensor]:
        """Return filters, and rows of examples with below them what the highest units keep of them, and samples."""
        if len(self.net.shape) != 3:
            return {}
        count = 4 * ROW if y is None else len(y)
        filters = {"filters": self.rules[0].filters()} if len(self.rules) > 1 or not self.net.labels else {}
        return filters | {
            "reconstruction": beside(x, self.net.decode(self.net.encode(x))),
            "samples": self.sample(count, Gibbs(steps=SHOWN), memory, y).clamp(0, 1),
        }
