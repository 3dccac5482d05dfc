"""What every attack has in common: the threat model, and the order of events around the search.

An attack sees a callable from pictures to logits and nothing else: no normalization (the net's first layer does that),
no mode, no weights. Put the net into eval mode first; in train mode BatchNorm would mix the examples of a batch.
All arithmetic is float32, whatever precision surrounds it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dlcli.attacks.objective import Classifier, read
from dlcli.attacks.randomness import uniform
from dlcli.errors import ConfigError

NORMS = ("linf", "l2")
TARGETS = -1  # the stream of random numbers that targets are drawn from


def demand(holds: bool, key: str, value: object, rule: str, example: object) -> None:
    """Raise ConfigError unless a value obeys its rule."""
    if not holds:
        raise ConfigError(f"attack.{key}={value} must be {rule}; for example attack.{key}={example}")


@dataclass(frozen=True, kw_only=True)
class Attack:
    """A search for adversarial examples within `eps`, measured in `norm`, of pictures in [0, 1].

    target: None (any wrong class), "least" (likely class of the clean picture), "random" (other class), or a class.
    """

    eps: float
    norm: str = "linf"
    target: str | int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        demand(0 <= self.eps < float("inf"), "eps", self.eps, "a distance of at least 0, in pixels of [0, 1]", 0.1)
        demand(self.norm in NORMS, "norm", self.norm, "linf or l2", "linf")
        number = isinstance(self.target, int) and not isinstance(self.target, bool) and self.target >= 0
        known = number or self.target in (None, "least", "random")
        demand(known, "target", self.target, "null, least, random or the index of a class", "least")

    def __call__(self, classifier: Classifier, x: Tensor, y: Tensor, index: Tensor) -> Tensor:
        """Return adversarial pictures for pictures x (B, C, H, W), classes y (B,), examples numbered `index` (B,).

        The result for an example depends on its number and the seed, not on the rest of the batch. An example that
        already belongs to the target class comes back as it was.
        """
        x, y, index = x.detach().float(), y.to(x.device), index.to(x.device)
        demand_pixels(x)
        if self.eps == 0 or len(x) == 0:
            return x.clone()
        with torch.autocast(x.device.type, enabled=False), torch.no_grad():
            target = None if self.target is None else self.targets(read(classifier, x), y, index)
            found = self.search(classifier, x, y, target, index)
        if target is None:
            return found
        there = (y == target).view(-1, *[1] * (x.ndim - 1))
        return torch.where(there, x, found)

    def search(self, classifier: Classifier, x: Tensor, y: Tensor, target: Tensor | None, index: Tensor) -> Tensor:
        """Return the adversarial pictures; eps is above 0."""
        raise NotImplementedError

    def targets(self, logits: Tensor, y: Tensor, index: Tensor) -> Tensor | None:
        """Return the wanted classes (B,) given the logits (B, C) of the clean pictures, or None without a target."""
        if self.target is None:
            return None
        classes = logits.shape[1]
        if self.target == "least":
            return logits.scatter(1, y.unsqueeze(1), torch.inf).argmin(1)
        if self.target == "random":
            draw = uniform(self.seed, TARGETS, index, 1).squeeze(1)
            return (y + 1 + (draw * (classes - 1)).long()) % classes
        demand(int(self.target) < classes, "target", self.target, f"a class below {classes}", classes - 1)
        return torch.full_like(y, int(self.target))


def demand_pixels(x: Tensor) -> None:
    """Raise ConfigError unless the pictures lie in [0, 1]."""
    if len(x) and not bool(((x >= 0) & (x <= 1)).all()):
        low, high = x.min().item(), x.max().item()
        rule = "attacks see pixels in [0, 1]; normalize inside the net, not before it"
        raise ConfigError(f"pictures with values in [{low:.3g}, {high:.3g}]: {rule}")
