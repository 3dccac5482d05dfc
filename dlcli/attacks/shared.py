"""One change for all pictures, learned on other pictures of the same kind and judged on those it has not seen.

Universal: the change d, |d| <= eps, that lowers the mean loss (Moosavi-Dezfooli et al. 2017, arXiv:1610.08401; learned
by gradients as in Shafahi et al. 2020, arXiv:1811.11304):

    d <- P(d - a d(sum_i grad L(x_i + d)))          L: log-odds of the true class, no lower than -FLOOR: won is won

Patch: a square of at most `eps` places, pasted somewhere else in each picture (Brown et al. 2017, arXiv:1712.09665).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from dlcli.attacks import ball
from dlcli.attacks.best import Cases
from dlcli.attacks.few import Places
from dlcli.attacks.objective import Classifier, cross_entropy, read
from dlcli.attacks.randomness import uniform
from dlcli.attacks.threat import Attack, demand, demand_counts, demand_room
from dlcli.errors import ConfigError

STRIDE, FLOOR = 0.2, 5.0  # the first step as a share of the ball, or of the box; later ones are shorter


@dataclass(frozen=True, kw_only=True)
class Learned(Attack):
    """A change that is learned once and then applied to every picture."""

    passes: int = 5
    change: Tensor | None = None  # (1, C, H, W); learned, never given

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        super().__post_init__()
        demand_counts(self, passes=5)
        fixed = self.target is None or isinstance(self.target, int)
        demand(fixed, "target", self.target, "null or the index of a class: one change serves all pictures", "null")

    def fitted(self, classifier: Classifier, batches: Iterable[Any]) -> "Learned":
        """Return the attack with the change that it learned on batches with x and y."""
        known = [(batch.x.float(), batch.y) for batch in batches]
        demand_room(self, known[0][0])
        if self.eps == 0:
            return replace(self, change=torch.zeros_like(known[0][0][:1]))
        change, first = self._begin(known[0][0]), 0
        with torch.autocast(change.device.type, enabled=False):
            for turn in range(self.passes * len(known)):
                x, y = known[turn % len(known)]
                index = torch.arange(first, first + len(x), device=x.device)  # another place for each turn
                gradient = self._gradient(classifier, change, Cases(x, y, None, index))
                change = self._step(change, gradient, 1 - turn / (self.passes * len(known)))
                first += len(x)
        return replace(self, change=change)

    def search(self, classifier: Classifier, cases: Cases) -> Tensor:
        """Return the pictures with the change."""
        if self.change is None:
            raise ConfigError(f"attack={type(self).__name__}: nothing was learned yet; call fitted(...) first")
        return self._applied(self.change.to(cases.x), cases.x, cases.numbers)

    def _gradient(self, classifier: Classifier, change: Tensor, cases: Cases) -> Tensor:
        """Return the gradient of the summed loss by the change."""
        change = change.detach().requires_grad_()
        with torch.enable_grad():
            logits = read(classifier, self._applied(change, cases.x, cases.numbers))
            target = self.targets(logits.detach(), cases.y, cases.numbers)
            total = cross_entropy(logits, cases.y, target).clamp(min=-FLOOR).sum()
        if not total.requires_grad:
            return torch.zeros_like(change)
        return torch.autograd.grad(total, change, allow_unused=True, materialize_grads=True)[0]

    def _begin(self, x: Tensor) -> Tensor:
        """Return the change to begin with."""
        raise NotImplementedError

    def _applied(self, change: Tensor, x: Tensor, numbers: Tensor) -> Tensor:
        """Return the pictures with the change."""
        raise NotImplementedError

    def _step(self, change: Tensor, gradient: Tensor, left: float) -> Tensor:
        """Return the change after a step, while a share of the steps is left."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Universal(Learned):
    """Add the same small change to every picture."""

    def _begin(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x[:1])

    def _applied(self, change: Tensor, x: Tensor, numbers: Tensor) -> Tensor:
        return ball.project(x + change, x, self.eps, self.norm)

    def _step(self, change: Tensor, gradient: Tensor, left: float) -> Tensor:
        moved = change - STRIDE * self.eps * left * ball.direction(gradient, self.norm)
        if self.norm == "linf":
            return moved.clamp(-self.eps, self.eps)
        return moved * (self.eps / ball.length(moved)).clamp(max=1)


@dataclass(frozen=True, kw_only=True)
class Patch(Learned, Places):
    """Paste the same square somewhere into every picture."""

    norms: ClassVar[tuple[str, ...]] = ("l0",)

    norm: str = "l0"

    def _begin(self, x: Tensor) -> Tensor:
        side = int(self.eps**0.5)
        demand(1 <= side <= min(x.shape[2:]), "eps", self.eps, f"a square that fits into {tuple(x.shape[2:])}", 25)
        return torch.full((1, x.shape[1], side, side), 0.5, device=x.device)

    def _applied(self, change: Tensor, x: Tensor, numbers: Tensor) -> Tensor:
        side, (height, width) = change.shape[2], x.shape[2:]
        draw = uniform(self.seed, 0, numbers, 2)
        top, left = (draw[:, 0] * (height - side + 1)).long(), (draw[:, 1] * (width - side + 1)).long()
        down = torch.arange(height, device=x.device) - top.unsqueeze(1)  # (B, H), in the rows of the patch
        across = torch.arange(width, device=x.device) - left.unsqueeze(1)  # (B, W)
        there = ((down >= 0) & (down < side)).unsqueeze(2) & ((across >= 0) & (across < side)).unsqueeze(1)
        pasted = change[0][:, down.clamp(0, side - 1).unsqueeze(2), across.clamp(0, side - 1).unsqueeze(1)]
        return torch.where(there.unsqueeze(1), pasted.transpose(0, 1), x)  # (C, B, H, W) -> (B, C, H, W)

    def _step(self, change: Tensor, gradient: Tensor, left: float) -> Tensor:
        return (change - STRIDE * left * ball.direction(gradient, "linf")).clamp(0, 1)
