"""The partition function Z of restricted Boltzmann machines: exact where few units allow it, else annealed.

    log Z = log sum_h exp(c h) prod_i sum_v_i exp(v_i (b + W' h)_i)         2^H terms; with the roles swapped, 2^V
    annealed importance sampling (Neal 2001; Salakhutdinov & Murray 2008):
        p_t(v) ~ exp(a_t v - rest(v)) prod_j (1 + exp(t (W v + c)_j)),  a_t = (1 - t) a_0 + t b,  t from 0 to 1
        Z / Z_0 = mean of w = prod_k p_{t_k}(v_k) / p_{t_{k-1}}(v_k),   v_{k+1} one Gibbs step of p_{t_k} on from v_k

v (B, V), h (B, H), a_0 (V,) the biases of a machine without weights. The mean of w is right on average, so log Z is too
low on average, and the likelihood too high, unless there are enough temperatures: trust the estimate as far as its
interval stays where it is when `temperatures` grows.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dlcli.losses import log_mean_exp

FEW = 16  # units whose settings are all summed up
CHUNK = 4096  # settings at a time


class Partition(NamedTuple):
    """An estimate of log Z with the interval of three standard errors; all three are the same where it is exact."""

    log_z: float
    log_z_low: float
    log_z_high: float


@dataclass(frozen=True, kw_only=True)
class Annealing:
    """Estimate log Z by annealing from independent units; sum up exactly where at most `FEW` units allow it."""

    temperatures: int = 1000
    runs: int = 100

    def __call__(self, net: Any, examples: Tensor) -> Partition:
        """Return log Z; the annealing starts at how often units are on in examples (B, V), which costs no truth."""
        hidden, visible = net.weight.shape
        if hidden <= FEW or (net.binary and visible <= FEW):
            exact = exact_log_z(net)
            return Partition(exact, exact, exact)
        return interval(self.weights(net, examples))

    def weights(self, net: Any, examples: Tensor) -> Tensor:
        """Return log (w Z_0) of each run, (R,)."""
        first = base(net, examples)
        v = net.draw(first.expand(self.runs, -1).clone())
        total = (net.log_sum(first) + len(net.hidden_bias) * math.log(2)).double().expand(self.runs)  # Z_0
        shares = torch.linspace(0, 1, self.temperatures + 1).tolist()
        for before, after in pairwise(shares):
            a = net.hidden_input(v)  # (R, H)
            step = (after - before) * (v @ (net.visible_bias - first))
            total = total + step + (F.softplus(after * a) - F.softplus(before * a)).sum(1)
            h = torch.rand_like(a).lt_((after * a).sigmoid())
            v = net.draw((1 - after) * first + after * net.visible_input(h))
        return total


def base(net: Any, examples: Tensor) -> Tensor:
    """Return the visible biases of the machine without weights that suits examples best, (V,)."""
    if not net.binary:
        return examples.mean(0)
    return ((examples.sum(0) + 0.5) / (len(examples) + 1)).logit()


def interval(weights: Tensor) -> Partition:
    """Return the log of the mean of weights whose logs are given, (R,), and of the mean plus and minus three errors."""
    top = weights.max()
    scaled = (weights - top).exp()
    error = 3 * scaled.std().item() / math.sqrt(len(weights))
    mean, middle = scaled.mean().item(), log_mean_exp(weights).item()
    low = top.item() + math.log(mean - error) if mean > error else -math.inf
    return Partition(middle, low, top.item() + math.log(mean + error))


def exact_log_z(net: Any) -> float:
    """Return log Z as a sum over all settings of the smaller layer."""
    hidden, visible = net.weight.shape
    if hidden <= visible or not net.binary:
        terms = [h @ net.hidden_bias + net.log_sum(net.visible_input(h)) for h in settings(net.hidden_bias)]
    else:
        terms = [-net.free_energy(v) for v in settings(net.visible_bias)]
    return torch.cat([part.double() for part in terms]).logsumexp(0).item()


def settings(like: Tensor) -> list[Tensor]:
    """Return all settings of as many binary units as a vector has entries, in chunks (B, units)."""
    units = len(like)
    numbers = torch.arange(2**units, device=like.device).split(CHUNK)
    places = torch.arange(units, device=like.device)
    return [(part[:, None] >> places & 1).to(like.dtype) for part in numbers]
