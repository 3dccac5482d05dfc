"""The border between two classes as the plane that a net's gradient draws, and the way onto it."""

import torch
from torch import Tensor

from dlcli.attacks import ball
from dlcli.attacks.objective import Classifier, read

HALVINGS = 30


def differences(classifier: Classifier, x: Tensor, y: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Return how far other classes (B, K) lead the true one, (B, K), and the gradients of that, (B, K, C, H, W)."""
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        logits = read(classifier, x)
        gaps = logits.gather(1, others) - logits.gather(1, y.unsqueeze(1))
        if not gaps.requires_grad:
            return gaps, torch.zeros(*others.shape, *x.shape[1:], device=x.device)
        last = others.shape[1] - 1
        slopes = [
            torch.autograd.grad(gap.sum(), x, retain_graph=k < last, allow_unused=True, materialize_grads=True)[0]
            for k, gap in enumerate(gaps.unbind(1))
        ]
    return gaps.detach(), torch.stack(slopes, 1)


def onto(x: Tensor, slope: Tensor, gap: Tensor, norm: str) -> Tensor:
    """Return the smallest change d in the box with slope * d = -gap, or the largest step that way where none reaches.

    The sum grows with the length s of the change, so s is found by halving.
    """
    way = -gap.sign()
    unit = ball.per_example(way, x) * ball.direction(slope, norm)
    low, high = torch.zeros_like(gap), torch.full_like(gap, 1.0 if norm == "linf" else x[0].numel() ** 0.5 * 10)

    def change(size: Tensor) -> Tensor:
        return torch.minimum(torch.maximum(ball.per_example(size, x) * unit, -x), 1 - x)

    for _ in range(HALVINGS):
        middle = (low + high) / 2
        short = (slope * change(middle)).flatten(1).sum(1) * way < gap.abs()
        low, high = torch.where(short, middle, low), torch.where(short, high, middle)
    return change(high)
