"""Restricted Boltzmann machines (Smolensky 1986; Hinton 2002; Hinton 2010, "A practical guide to training RBMs").

    E(v, h) = rest(v) - b v - c h - h W v             no links within a layer, so each layer is sampled in one go
    P(h = 1 | v) = sigmoid(W v + c)                   F(v) = rest(v) - b v - sum_j softplus(W v + c)_j
    binary units:    P(v = 1 | h) = sigmoid(b + W' h),  rest(v) = 0
    Gaussian units:  v | h ~ N(b + W' h, 1),            rest(v) = |v|^2 / 2
    conditional:     the first units of v are given and stay; b becomes b + A u (Mnih, Larochelle & Hinton 2011)

Products follow autocast, all else stays in the type of the weights: half precision has too few bits to draw by.

B batch, V visible units, U given units, H hidden units. v (B, V), h (B, H), W `weight` (H, V), b (V,), c (H,),
A `direct` (V, U). p(v) = exp(-F(v)) / Z. Pixels in [0, 1] may stand for the probabilities of binary units.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlcli.errors import ConfigError
from dlcli.nets.layers import Normalize


class RBM(nn.Module):
    """A layer of binary visible and a layer of binary hidden units, joined by symmetric weights."""

    binary = True
    given = 0  # the first visible units that are not the machine's to choose

    def __init__(self, *, visible: int, hidden: int, scale: float = 0.01, bias: float = 0.0):
        super().__init__()
        if hidden < 1:
            raise ConfigError(f"hidden={hidden}: without hidden units a machine explains nothing; use 1 or more")
        self.weight = nn.Parameter(scale * torch.randn(hidden, visible))
        self.visible_bias = nn.Parameter(torch.zeros(visible))
        self.hidden_bias = nn.Parameter(torch.full((hidden,), float(bias)))

    def enter(self, x: Tensor) -> Tensor:
        """Return examples as visible units, (B, ...) -> (B, V)."""
        return x.flatten(1)

    def leave(self, v: Tensor, shape: Sequence[int]) -> Tensor:
        """Return visible units as examples of a shape, (B, V) -> (B, *shape)."""
        return v.view(-1, *shape)

    def hidden_input(self, v: Tensor) -> Tensor:
        """Return W v + c, (B, V) -> (B, H)."""
        return F.linear(v, self.weight, self.hidden_bias).to(self.weight.dtype)

    def visible_input(self, h: Tensor) -> Tensor:
        """Return b + W' h, (B, H) -> (B, V)."""
        return torch.addmm(self.visible_bias, h, self.weight).to(self.weight.dtype)

    def hidden(self, v: Tensor) -> Tensor:
        """Return P(h = 1 | v), (B, V) -> (B, H)."""
        return self.hidden_input(v).sigmoid_()

    def visible(self, h: Tensor) -> Tensor:
        """Return the mean of v given h, (B, H) -> (B, V)."""
        return self.mean(self.visible_input(h))

    def draw_hidden(self, v: Tensor) -> Tensor:
        """Draw h given v."""
        return bernoulli(self.hidden(v))

    def draw_visible(self, h: Tensor) -> Tensor:
        """Draw v given h."""
        return self.draw(self.visible_input(h))

    def back(self, h: Tensor, v: Tensor, sampled: bool = True) -> Tensor:
        """Return v given h, drawn or its mean; units that are given stay as in `v`."""
        return self.draw_visible(h) if sampled else self.visible(h)

    def walk(self, v: Tensor, steps: int) -> Tensor:
        """Take steps of block Gibbs sampling from v: all hidden units at once, then all visible ones."""
        for _ in range(steps):
            v = self.back(self.draw_hidden(v), v)
        return v

    def energy(self, v: Tensor, h: Tensor) -> Tensor:
        """Return E(v, h), (B, V) and (B, H) -> (B,)."""
        return self.rest(v) - v @ self.visible_bias - (self.hidden_input(v) * h).sum(1)

    def free_energy(self, v: Tensor) -> Tensor:
        """Return F(v) = -log sum_h exp(-E(v, h)), (B, V) -> (B,)."""
        return self.rest(v) - v @ self.visible_bias - F.softplus(self.hidden_input(v)).sum(1)

    def contrast(self, v: Tensor, h: Tensor, w: Tensor, g: Tensor) -> dict[str, Tensor]:
        """Return the gradient of mean E(v, h) - mean E(w, g) by each parameter.

        With h = P(h = 1 | v) and g = P(h = 1 | w) it is the gradient of mean F(v) - mean F(w).
        """
        return {
            "weight": difference(g, w, h, v),
            "visible_bias": w.mean(0).sub_(v.mean(0)),
            "hidden_bias": g.mean(0).sub_(h.mean(0)),
        }

    def flipped(self, v: Tensor, units: Tensor) -> Tensor:
        """Return by how much F rises if one binary unit of each example turns over, (B, V) and (K, B) -> (K, B)."""
        turn = 1 - 2 * v.T.gather(0, units)  # (K, B)
        before = self.hidden_input(v)
        after = [
            F.softplus(torch.addcmul(before, way[:, None], self.weight.T[unit])).sum(1)  # (B, H) -> (B,)
            for way, unit in zip(turn, units, strict=True)
        ]
        return F.softplus(before).sum(1) - torch.stack(after) - turn * self.visible_bias[units]

    def start(self, v: Tensor) -> None:
        """Let examples (B, V) set the visible biases, unless these are frozen or have learned elsewhere."""
        if self.visible_bias.requires_grad and not self.visible_bias.any():
            self.visible_bias.copy_(self.biases(v))

    def biases(self, v: Tensor) -> Tensor:
        """Return visible biases that answer for how often each unit is on: log p / (1 - p), p from examples (B, V)."""
        share = (v.sum(0) + 0.5) / (len(v) + 1)  # no unit is quite never or always on
        return share.logit()

    def mean(self, a: Tensor) -> Tensor:
        """Return the mean of visible units whose input is `a`, in its place."""
        return a.sigmoid_()

    def draw(self, a: Tensor) -> Tensor:
        """Draw visible units whose input is `a`."""
        return bernoulli(self.mean(a))

    def surprise(self, v: Tensor, a: Tensor) -> Tensor:
        """Return -log p(v | h) of each visible unit, `a` its input, (B, V) -> (B, V)."""
        return F.binary_cross_entropy_with_logits(a, v, reduction="none")

    def rest(self, v: Tensor) -> Tensor:
        """Return the part of the energy that knows no parameter, (B, V) -> (B,)."""
        return v.new_zeros(len(v))

    def log_sum(self, a: Tensor) -> Tensor:
        """Return log sum_v exp(a v - rest(v)), summed over the units, (..., V) -> (...)."""
        return F.softplus(a).sum(-1)


class GaussianRBM(RBM):
    """An RBM with real-valued visible units of unit variance; `mean` and `std` standardize the data, per channel."""

    binary = False

    def __init__(
        self,
        *,
        visible: int,
        hidden: int,
        scale: float = 0.01,
        bias: float = 0.0,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ):
        super().__init__(visible=visible, hidden=hidden, scale=scale, bias=bias)
        self.normalize = Normalize(mean=mean, std=std)

    def enter(self, x: Tensor) -> Tensor:
        return self.normalize(x).flatten(1)

    def leave(self, v: Tensor, shape: Sequence[int]) -> Tensor:
        return self.normalize.undo(v.view(-1, *shape))

    def biases(self, v: Tensor) -> Tensor:
        """Return the mean of examples (B, V)."""
        return v.mean(0)

    def mean(self, a: Tensor) -> Tensor:
        return a

    def draw(self, a: Tensor) -> Tensor:
        return a + torch.randn_like(a)

    def surprise(self, v: Tensor, a: Tensor) -> Tensor:
        return 0.5 * ((v - a).square() + math.log(2 * math.pi))

    def rest(self, v: Tensor) -> Tensor:
        return 0.5 * v.square().sum(1)

    def log_sum(self, a: Tensor) -> Tensor:
        return 0.5 * (a.square() + math.log(2 * math.pi)).sum(-1)


class ConditionalRBM(RBM):
    """An RBM that models the last visible units given the first: p(v | u).

    Of `units` units a share is `given`; these reach the others through the hidden units, by `weight`, and
    directly, by `direct`.
    """

    def __init__(self, *, units: int, given: float, hidden: int, scale: float = 0.01, bias: float = 0.0):
        super().__init__(visible=units, hidden=hidden, scale=scale, bias=bias)
        self.given = round(given * units)
        if not 0 < self.given < units:
            raise ConfigError(
                f"given={given} of {units} units leaves nothing to give or nothing to model: it is a share between 0 "
                "and 1; use given=0.5"
            )
        self.direct = nn.Parameter(torch.zeros(units - self.given, self.given))

    def biases(self, v: Tensor) -> Tensor:
        return F.pad(super().biases(v)[self.given :], (self.given, 0))

    def back(self, h: Tensor, v: Tensor, sampled: bool = True) -> Tensor:
        known = v[:, : self.given]
        a = torch.addmm(known @ self.direct.T, h, self.weight[:, self.given :]) + self.visible_bias[self.given :]
        return torch.cat([known, self.draw(a) if sampled else self.mean(a)], dim=1)  # (B, U + V)

    def energy(self, v: Tensor, h: Tensor) -> Tensor:
        return super().energy(v, h) - self.links(v)

    def free_energy(self, v: Tensor) -> Tensor:
        return super().free_energy(v) - self.links(v)

    def links(self, v: Tensor) -> Tensor:
        """Return v A u, (B, U + V) -> (B,)."""
        return (v[:, : self.given] @ self.direct.T * v[:, self.given :]).sum(1)

    def contrast(self, v: Tensor, h: Tensor, w: Tensor, g: Tensor) -> dict[str, Tensor]:
        (known, x), (same, y) = (units.tensor_split([self.given], dim=1) for units in (w, v))
        return {**super().contrast(v, h, w, g), "direct": difference(x, known, y, same)}

    def flipped(self, v: Tensor, units: Tensor) -> Tensor:
        """Return by how much F rises if one unit of each example turns over that is not given."""
        turn = 1 - 2 * v.T.gather(0, units)
        push = v[:, : self.given] @ self.direct.T  # (B, V)
        return super().flipped(v, units) - turn * push.T.gather(0, units - self.given)


def difference(a: Tensor, x: Tensor, b: Tensor, y: Tensor) -> Tensor:
    """Return mean a x' - mean b y' over examples, (N, A) and (N, X), (M, A) and (M, X) -> (A, X).

    Under autocast by one product, so that half precision rounds the small difference and not each of the means.
    """
    if torch.is_autocast_enabled(x.device.type):
        both = torch.cat([a * (len(b) / len(a)), -b]).T @ torch.cat([x, y])
        return both.to(x.dtype).div_(len(b))
    outer = a.T @ x
    return torch.addmm(outer, b.T, y, beta=1 / len(a), alpha=-1 / len(b), out=outer)


def bernoulli(p: Tensor) -> Tensor:
    """Draw 0 or 1 with probability `p` of a one; several times faster than `torch.bernoulli`."""
    return torch.rand_like(p).lt_(p)
