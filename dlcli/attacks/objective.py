"""What an attack pushes down, and the slope by which it does so.

With logits z (B, C), true class y (B,) and, in a targeted attack, wanted class t (B,):

    cross_entropy   log(p_y / (1 - p_y)) = z_y - log sum_{j != y} exp z_j;   targeted: the same for t, negative
    margin          z_y - max_{j != y} z_j;                                  targeted: the same for t, negative
    dlr             (z_y - max_{j != y} z_j) / (z_(1) - z_(3))
                    targeted: (z_y - z_t) / (z_(1) - (z_(3) + z_(4)) / 2)

A margin below 0 is a success. The first falls where log p_y falls and its gradient has the same direction; but log p_y
goes flat when a net is certain (p_y rounds to 1), so that the attack stalls and the net looks robust. Log-odds do not.
The margin is f_6 of Carlini and Wagner 2017, arXiv:1608.04644. z_(k) is the k-th largest logit: the last loss does not
depend on the scale of the logits (Croce and Hein 2020, arXiv:2003.01690).
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


def dlr(logits: Tensor, y: Tensor, target: Tensor | None = None) -> Tensor:
    """Return (B,) the margin as a share of the spread of the highest logits. Raises ConfigError for too few classes."""
    needed = 3 if target is None else 4
    if logits.shape[1] < needed:
        cure = "take attack.loss=margin"
        raise ConfigError(f"attack.loss=dlr compares {needed} classes, and the net has {logits.shape[1]}; {cure}")
    high = logits.sort(1, descending=True).values
    third = high[:, 2] if target is None else (high[:, 2] + high[:, 3]) / 2
    spread = (high[:, 0] - third).clamp(min=torch.finfo(logits.dtype).tiny)
    if target is None:
        return margin(logits, y) / spread
    own, wanted = (logits.gather(1, label.unsqueeze(1)).squeeze(1) for label in (y, target))
    return (own - wanted) / spread


LOSSES = {"cross_entropy": cross_entropy, "margin": margin, "dlr": dlr}


def _lead(logits: Tensor, y: Tensor, target: Tensor | None, rival: Callable[[Tensor], Tensor]) -> Tensor:
    label = (y if target is None else target).unsqueeze(1)
    own = logits.gather(1, label).squeeze(1)
    lead = own - rival(logits.scatter(1, label, -torch.inf))
    return lead if target is None else -lead


def slope(
    classifier: Classifier, x: Tensor, value: Callable[[Tensor], Tensor], draws: int = 1
) -> tuple[Tensor, Tensor]:
    """Return the gradient of `value(logits)` by the pixels, zero where there is none, and the logits.

    Summed over the batch, so that no example's gradient depends on how many others there are. Gradients of weights are
    neither computed nor stored. Of a net that answers at random, the means over `draws` answers.
    """
    gradient, mean = _slope(classifier, x, value)
    for _ in range(draws - 1):
        more, logits = _slope(classifier, x, value)
        gradient, mean = gradient + more, mean + logits
    return gradient, mean / draws


def _slope(classifier: Classifier, x: Tensor, value: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        logits = read(classifier, x)
        total = value(logits).sum()
    if not total.requires_grad:
        return torch.zeros_like(x), logits.detach()
    (gradient,) = torch.autograd.grad(total, x, allow_unused=True, materialize_grads=True)
    return gradient, logits.detach()


def read(classifier: Classifier, x: Tensor, draws: int = 1) -> Tensor:
    """Return logits in float32, the mean of `draws` answers.

    Raises ConfigError unless they are one row per picture, with two classes or more.
    """
    logits = classifier(x).float()
    for _ in range(draws - 1):
        logits = logits + classifier(x).float()
    if logits.ndim != 2 or len(logits) != len(x) or logits.shape[1] < 2:
        rule = f"({len(x)}, classes) with at least 2 classes"
        raise ConfigError(
            f"logits of shape {tuple(logits.shape)}: an attack needs {rule}; attack a classifier of pictures"
        )
    return logits / draws
