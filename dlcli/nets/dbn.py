"""Deep belief nets (Hinton, Osindero & Teh 2006, Neural Computation 18): a stack of RBMs read as one generative model.

    p(v, h1, ..., hn) = p(v|h1) p(h1|h2) ... p(h_n-2|h_n-1) p(h_n-1, hn)     the last factor is the top RBM

    up:    q(h_i = 1 | h_i-1) = sigmoid(R_i h_i-1 + r_i)       recognition; R_i = W_i until up-down training
    down:  p(h_i-1 = 1 | h_i) = sigmoid(W_i' h_i + b_i)        generation, from Gibbs steps between the top two layers

With C label units beside h_n-1, one of which is on, the top RBM models p(h_n-1, y). Its free energy for each of the C
settings of the labels is a closed sum, so no chain has to run for a classification:

    F(h, y) = -b h - b_y - sum_j softplus(c_j + W_j h + U_jy),     p(y | h) = softmax_y(-F(h, y))

x (B, ...), v (B, V), h_i (B, widths[i]), W_i (widths[i], widths[i-1]), U (widths[-1], C). All energies in nats.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlcli.nets.layers import exact
from dlcli.nets.rbm import RBM, GaussianRBM, bernoulli


class LabelRBM(RBM):
    """An RBM whose last C visible units are labels: exactly one of them is on."""

    def __init__(self, *, visible: int, labels: int, hidden: int, scale: float = 0.01):
        super().__init__(visible=visible + labels, hidden=hidden, scale=scale)
        self.labels = labels

    def biases(self, v: Tensor) -> Tensor:
        """Return biases that answer for how often each unit is on; all labels start alike."""
        return F.pad(super().biases(v)[: -self.labels], (0, self.labels))  # a first batch may lack a class

    def mean(self, a: Tensor) -> Tensor:
        units, labels = a.tensor_split([-self.labels], dim=-1)
        return torch.cat([units.sigmoid(), labels.softmax(-1)], dim=-1)

    def draw(self, a: Tensor) -> Tensor:
        units, labels = self.mean(a).tensor_split([-self.labels], dim=-1)
        chosen = torch.multinomial(labels, 1)[:, 0]
        return torch.cat([bernoulli(units), F.one_hot(chosen, self.labels).to(a.dtype)], dim=-1)

    def log_sum(self, a: Tensor) -> Tensor:
        units, labels = a.tensor_split([-self.labels], dim=-1)
        return F.softplus(units).sum(-1) + labels.logsumexp(-1)

    @exact
    def by_label(self, units: Tensor) -> Tensor:
        """Return the free energy of units with each label in turn, (B, V) -> (B, C)."""
        weight, of_labels = self.weight.tensor_split([-self.labels], dim=1)  # (H, V), (H, C)
        bias, label_bias = self.visible_bias.tensor_split([-self.labels])
        a = torch.addmm(self.hidden_bias, units, weight.T)  # (B, H)
        hidden = F.softplus(a[:, None] + of_labels.T).sum(2)  # (B, C, H) -> (B, C)
        return -(units @ bias)[:, None] - label_bias - hidden


class DeepBelief(nn.Module):
    """RBMs on top of each other; with `labels`, the top one also models which class its input belongs to.

    `gaussian` units take any numbers as inputs, and standardize them by `mean` and `std`.
    """

    def __init__(
        self,
        *,
        shape: Sequence[int],
        widths: Sequence[int],
        labels: int = 0,
        scale: float = 0.01,
        gaussian: bool = False,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ):
        super().__init__()
        self.shape, self.widths, self.labels = tuple(shape), list(widths), labels
        sizes = [prod(shape), *widths]
        self.layers: Any = nn.ModuleList(RBM(visible=v, hidden=h, scale=scale) for v, h in pairwise(sizes))
        if gaussian:
            self.layers[0] = GaussianRBM(visible=sizes[0], hidden=sizes[1], scale=scale, mean=mean, std=std)
        if labels:
            self.layers[-1] = LabelRBM(visible=sizes[-2], labels=labels, hidden=sizes[-1], scale=scale)
        self.recognition: Any = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(sizes[:-1]))
        self.units = sizes[-2]  # of the layer below the top one

    @property
    def top(self) -> RBM:
        """The RBM of the two highest layers."""
        return self.layers[-1]

    @torch.no_grad()
    def untie(self, layer: int) -> None:
        """Copy what a layer has learned into its recognition weights; the top layer has only one set."""
        if layer < len(self.recognition):
            below, above = self.recognition[layer], self.layers[layer]
            for own, learned in ((below.weight, above.weight), (below.bias, above.hidden_bias)):
                if own.requires_grad:
                    own.copy_(learned)

    def upward(self) -> list[tuple[Tensor, Tensor]]:
        """Return weight and bias of each layer on the way up; of the top layer without its labels."""
        lower = [(layer.weight, layer.bias) for layer in self.recognition]
        return [*lower, (self.top.weight[:, : self.units], self.top.hidden_bias)]

    def path(self, x: Tensor, layers: int, draw: bool = False) -> list[Tensor]:
        """Return v and the units of the first `layers` layers: probabilities, or drawn from them."""
        path = [self.enter(x)]
        for layer in self.recognition[:layers]:
            h = layer(path[-1]).sigmoid()
            path.append(bernoulli(h) if draw else h)
        return path

    def up(self, x: Tensor, layers: int | None = None, draw: bool = False) -> Tensor:
        """Return the units of layer number `layers` from below; by default of the layer below the top one."""
        return self.path(x, len(self.recognition) if layers is None else layers, draw)[-1]

    def encode(self, x: Tensor) -> Tensor:
        """Return the probabilities of the highest units, (B, ...) -> (B, widths[-1]); labels at what is expected."""
        units = self.up(x)
        if isinstance(self.top, LabelRBM):
            units = torch.cat([units, (-self.top.by_label(units)).softmax(1)], dim=1)
        return self.top.hidden(units)

    def decode(self, h: Tensor) -> Tensor:
        """Return what the highest units stand for, (B, widths[-1]) -> (B, *shape)."""
        return self.leave(self.down(self.top.visible(h)[:, : self.units])[0])

    def down(self, units: Tensor, draw: bool = False) -> list[Tensor]:
        """Return v and the units of all layers below the top one, from the given ones downwards; v is never drawn."""
        path = [units]
        for i, layer in reversed(list(enumerate(self.layers[:-1]))):
            path.insert(0, layer.draw_visible(path[0]) if draw and i else layer.visible(path[0]))
        return path

    def enter(self, x: Tensor) -> Tensor:
        """Return examples as visible units, (B, *shape) -> (B, V)."""
        return self.layers[0].enter(x)

    def leave(self, v: Tensor) -> Tensor:
        """Return visible units as examples, (B, V) -> (B, *shape)."""
        return self.layers[0].leave(v, self.shape)

    def relax(self, units: Tensor, steps: int, labels: Tensor | None = None) -> Tensor:
        """Take Gibbs steps between the two highest layers, (B, units) -> (B, units); labels (B, C) are held."""
        v = units if labels is None else torch.cat([units, labels], dim=1)
        for _ in range(steps):
            v = self.top.draw_visible(self.top.draw_hidden(v))
            if labels is not None:
                v[:, self.units :] = labels
        return v[:, : self.units]

    def generate(self, units: Tensor, steps: int, labels: Tensor | None = None) -> Tensor:
        """Return examples: Gibbs steps from the given units at the top, then one pass down, (B, units) -> (B, *shape).

        Units are drawn on the way; the examples themselves are probabilities, or means.
        """
        if self.recognition:
            return self.leave(self.down(self.relax(units, steps, labels), draw=True)[0])
        v = self.relax(units, steps - 1, labels)
        v = v if labels is None else torch.cat([v, labels], dim=1)
        return self.leave(self.top.visible(self.top.draw_hidden(v))[:, : self.units])

    @exact
    def free_energy(self, x: Tensor) -> Tensor:
        """Return F(x), (B, ...) -> (B,): -log p(x) up to a constant; exact for one layer, else about its bound.

        F = sum_i [-log p(h_i-1 | h_i) - entropy of q(h_i)] + F_top(h_n-1), every h_i at its mean.
        """
        v = self.enter(x)
        total = v.new_zeros(len(v))
        for layer, recognition in zip(self.layers, self.recognition, strict=False):
            a = recognition(v)
            h = a.sigmoid()
            b = layer.visible_input(h)
            surprise = layer.rest(v) - (v * b).sum(1) + layer.log_sum(b)
            entropy = (F.softplus(a) - a * h).sum(1)
            v, total = h, total + surprise - entropy
        return total + self.top.free_energy(v)


class FreeEnergies(nn.Module):
    """One deep belief net per class; logits are their negative free energies, normalized.

        logit_c = gain_c (mean_c - F_c(x)) / std_c + bias_c

    Nothing but the partition function would make the energies of different nets comparable. Mean and deviation of each
    net's free energy over the training data take its place, then a gain and a bias per class, learned by softmax.
    """

    def __init__(self, *, classes: int, shape: Sequence[int], widths: Sequence[int], scale: float = 0.01):
        super().__init__()
        self.members: Any = nn.ModuleList(DeepBelief(shape=shape, widths=widths, scale=scale) for _ in range(classes))
        # without momentum: the mean over all batches, which is right as the nets no longer change
        self.norm = nn.BatchNorm1d(classes, momentum=None)

    def forward(self, x: Tensor) -> Tensor:  # (B, ...) -> (B, C)
        return self.norm(-torch.stack([member.free_energy(x) for member in self.members], dim=1))
