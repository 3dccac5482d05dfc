"""What every attack has in common: the threat model, and the order of events around the search.

An attack sees a callable from pictures to logits and nothing else: no normalization (the net's first layer does that),
no mode, no weights. Put the net into eval mode first; in train mode BatchNorm would mix the examples of a batch.
All arithmetic is float32, whatever precision surrounds it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from dlcli.attacks.best import Best, Cases
from dlcli.attacks.objective import Classifier, read
from dlcli.attacks.randomness import uniform
from dlcli.errors import ConfigError

MOST = 9  # classes that target=all aims at
TARGETS = -1  # the stream of random numbers that targets are drawn from


def demand(holds: bool, key: str, value: object, rule: str, example: object) -> None:
    """Raise ConfigError unless a value obeys its rule."""
    if not holds:
        raise ConfigError(f"attack.{key}={value} must be {rule}; for example attack.{key}={example}")


def demand_counts(attack: "Attack", **examples: int) -> None:
    """Raise ConfigError unless each of these values of an attack is at least 1; the examples are what to write."""
    for key, example in examples.items():
        demand(getattr(attack, key) >= 1, key, getattr(attack, key), "at least 1", example)


@dataclass(frozen=True, kw_only=True)
class Attack:
    """A search for adversarial examples within `eps`, measured in `norm`, of pictures in [0, 1].

    target: None (any wrong class), "least" (likely class of the clean picture), "random" (other class), a class, or
    "all" (the nine likeliest other classes in turn; the example keeps its worst case).
    stop: leave an example alone once it is won. Which ones are won stays the same; their pictures are then the first
    that were found, not the worst.
    """

    norms: ClassVar[tuple[str, ...]] = ("linf", "l2")
    gradients: ClassVar[bool] = True  # False: the attack asks for outputs only

    eps: float
    norm: str = "linf"
    target: str | int | None = None
    seed: int = 0
    stop: bool = False

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        rule = "a distance of at least 0, in pixels of [0, 1]"
        demand(self.bound >= 0, "eps", self.eps, rule, 0.1)
        far = self.norm == "linf" and 1 < self.bound < float("inf")
        demand(not far, "eps", self.eps, f"{rule}, of which 1 is the largest; divide by 255", f"{self.bound / 255:.3g}")
        demand(self.norm in self.norms, "norm", self.norm, " or ".join(self.norms), self.norms[0])
        number = isinstance(self.target, int) and not isinstance(self.target, bool) and self.target >= 0
        known = number or self.target in (None, "least", "random", "all")
        demand(known, "target", self.target, "null, least, random, all or the index of a class", "least")

    @property
    def bound(self) -> float:
        """The size of the ball."""
        demand(self.eps is not None and self.eps < float("inf"), "eps", self.eps, "a number", 0.1)
        return self.eps

    def fitted(self, classifier: Classifier, batches: Iterable[Any]) -> "Attack":
        """Return the attack after it has learned what it may from other examples, batches with x and y."""
        return self

    def __call__(self, classifier: Classifier, x: Tensor, y: Tensor, index: Tensor) -> Tensor:
        """Return adversarial pictures for pictures x (B, C, H, W), classes y (B,), examples numbered `index` (B,).

        The result for an example depends on its number and the seed, not on the rest of the batch. An example that
        already belongs to the target class comes back as it was.
        """
        x, y, index = self.admitted(x, y, index)
        if self.eps == 0 or len(x) == 0:
            return x.clone()
        with torch.autocast(x.device.type, enabled=False), torch.no_grad():
            if self.target == "all":
                return self._worst_target(classifier, Cases(x, y, None, index))
            target = None if self.target is None else self.targets(read(classifier, x), y, index)
            found = self.search(classifier, Cases(x, y, target, index))
        if target is None:
            return found
        there = (y == target).view(-1, *[1] * (x.ndim - 1))
        return torch.where(there, x, found)

    def admitted(self, x: Tensor, y: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return what is attacked in float32 and on one device. Raises ConfigError for pictures out of range."""
        demand_pixels(x)
        demand_room(self, x)
        return x.detach().float(), y.to(x.device), index.to(x.device)

    def search(self, classifier: Classifier, cases: Cases) -> Tensor:
        """Return the adversarial pictures; eps is above 0."""
        raise NotImplementedError

    def targets(self, logits: Tensor, y: Tensor, index: Tensor) -> Tensor | None:
        """Return the wanted classes (B,) given the logits (B, C) of the clean pictures, or None where any will do."""
        if self.target in (None, "all"):
            return None
        classes = logits.shape[1]
        if self.target == "least":
            return logits.scatter(1, y.unsqueeze(1), torch.inf).argmin(1)
        if self.target == "random":
            draw = uniform(self.seed, TARGETS, index, 1).squeeze(1)
            return (y + 1 + (draw * (classes - 1)).long()) % classes
        demand(int(self.target or 0) < classes, "target", self.target, f"a class below {classes}", classes - 1)
        return torch.full_like(y, int(self.target or 0))

    def judge(self, cases: Cases, found: Tensor, logits: Tensor) -> Tensor:
        """Return (B,) what the pictures found are worth, given their logits: the lower the better."""
        return cases.margin(logits)

    def _worst_target(self, classifier: Classifier, cases: Cases) -> Tensor:
        """Aim at every other class in turn, and keep what hurts most, whatever class a picture on the way came to."""
        logits = read(classifier, cases.x)
        best = Best(cases.x, self.judge(cases, cases.x, logits), self.stop)
        for target in rivals(logits, cases.y)[:, :MOST].unbind(1):
            rows = best.open()
            if not len(rows):
                break
            part = cases.at(rows)
            found = self.search(classifier, part._replace(target=target[rows], loose=True))
            best.offer(rows, found, self.judge(part, found, read(classifier, found)))
        return best.x


def rivals(logits: Tensor, y: Tensor) -> Tensor:
    """Return the other classes (B, classes - 1), the likeliest first."""
    return logits.scatter(1, y.unsqueeze(1), -torch.inf).sort(dim=1, descending=True, stable=True).indices[:, :-1]


def demand_room(attack: Attack, x: Tensor) -> None:
    """Raise ConfigError if the ball is larger than the box, as it is where eps was meant for pixels up to 255."""
    whole = {"l2": x[:1].numel() ** 0.5, "l1": float(x[:1].numel())}.get(attack.norm, torch.inf)
    fits = len(x) == 0 or attack.bound == torch.inf or attack.bound <= whole
    rule = f"at most {whole:.4g} in {attack.norm}, all pixels from black to white; for levels up to 255 divide by 255"
    demand(fits, "eps", attack.eps, rule, f"{attack.bound / 255:.3g}")


def demand_pixels(x: Tensor) -> None:
    """Raise ConfigError unless the pictures lie in [0, 1]."""
    if len(x) and not bool(((x >= 0) & (x <= 1)).all()):
        low, high = x.min().item(), x.max().item()
        rule = "attacks see pixels in [0, 1]; normalize inside the net, not before it"
        raise ConfigError(f"pictures with values in [{low:.3g}, {high:.3g}]: {rule}")
