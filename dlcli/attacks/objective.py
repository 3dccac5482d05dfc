"""What an attack pushes down, and the slope by which it does so.

With logits z (B, C), true class y (B,) and, in a targeted attack, wanted class t (B,):

    cross_entropy   log(p_y / (1 - p_y)) = z_y - log sum_{j != y} exp z_j;   targeted: the same for t, negative
    margin          z_y - max_{j != y} z_j;                                  targeted: the same for t, negative

A margin below 0 is a success. The first falls where log p_y falls and its gradient has the same direction; but log p_y
goes flat when a net is certain (p_y rounds to 1), so that the attack stalls and the net looks robust. Log-odds do not.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from dlcli.errors import ConfigError

Classifier = Callable[[Tensor], Tensor]  # pictures (B, C, H, W) in [0, 1] to logits (B, classes)


def cross_entropy(logits: Tensor, y: Tensor, target: Tensor | None = None) -> Tensor:
    """Return (B,) the log-odds of the true class, or minus those of the target."""
    return _lead(logits, y, target, lambda others: others.logsumexp(1))


def margin(logits: Tensor, y: Tensor, target: Tensor | None = None) -> Tensor:
    """Return (B,) how far the true class leads the best other, or the target trails it; below 0 the attack has won."""
    return _lead(logits, y, target, lambda others: others.amax(1))


LOSSES = {"cross_entropy": cross_entropy, "margin": margin}


def _lead(logits: Tensor, y: Tensor, target: Tensor | None, rival: Callable[[Tensor], Tensor]) -> Tensor:
    label = (y if target is None else target).unsqueeze(1)
    own = logits.gather(1, label).squeeze(1)
    lead = own - rival(logits.scatter(1, label, -torch.inf))
    return lead if target is None else -lead


def slope(classifier: Classifier, x: Tensor, value: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Return the gradient of `value(logits)` by the pixels, zero where there is none, and the logits.

    Summed over the batch, so that no example's gradient depends on how many others there are. Gradients of weights are
    neither computed nor stored.
    """
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        logits = read(classifier, x)
        total = value(logits).sum()
    if not total.requires_grad:
        return torch.zeros_like(x), logits.detach()
    (gradient,) = torch.autograd.grad(total, x, allow_unused=True, materialize_grads=True)
    return gradient, logits.detach()


def read(classifier: Classifier, x: Tensor) -> Tensor:
    """Return logits in float32. Raises ConfigError unless they are one row per picture, with two classes or more."""
    logits = classifier(x).float()
    if logits.ndim != 2 or len(logits) != len(x) or logits.shape[1] < 2:
        rule = f"({len(x)}, classes) with at least 2 classes"
        raise ConfigError(
            f"logits of shape {tuple(logits.shape)}: an attack needs {rule}; attack a classifier of pictures"
        )
    return logits
