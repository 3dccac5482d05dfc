"""Check adversarial pictures against their threat model, by other means than the attacks use.

Everything is computed anew in float64 from the two sets of pictures as they were saved. A violation is an error and
never clipped away: a broken attack must not pass as a strong one.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from dlcli.errors import DlError

SLACK = 1e-6  # float32 arithmetic exceeds eps by about 1e-8


class Verdict(NamedTuple):
    """What was found about pictures that obey their threat model."""

    examples: int
    changed: int  # examples with at least one other pixel
    largest: float  # largest distance, in the norm of the threat model
    mean: float  # mean distance


def verify(x: Tensor, x_adv: Tensor, *, eps: float, norm: str) -> Verdict:
    """Return the distances between pictures and adversarial pictures.

    Raises DlError with the first offending example for another shape, a value that is not finite or lies outside
    [0, 1], or a distance above eps.
    """
    if x.shape != x_adv.shape:
        raise DlError(
            f"adversarial pictures of shape {tuple(x_adv.shape)} for pictures {tuple(x.shape)}: they must agree"
        )
    clean, moved = x.detach().cpu().double().flatten(1), x_adv.detach().cpu().double().flatten(1)
    _forbid(~clean.isfinite() | (clean < 0) | (clean > 1), clean, "clean pixel", "lie in [0, 1]")
    _forbid(~moved.isfinite(), moved, "adversarial pixel", "be finite")
    _forbid((moved < 0) | (moved > 1), moved, "adversarial pixel", "lie in [0, 1]")
    distance = _distance(moved - clean, x.shape, norm)
    _forbid(distance > eps + SLACK, distance, f"{norm} distance", f"be at most eps={eps}")
    changed = int((moved != clean).any(1).sum())
    largest, mean = (distance.max().item(), distance.mean().item()) if len(distance) else (0.0, 0.0)
    return Verdict(len(x), changed, largest, mean)


def _distance(change: Tensor, shape: torch.Size, norm: str) -> Tensor:
    """Return the sizes of changes (B, pixels); l0 counts places where any channel differs, none bounds nothing."""
    if norm == "none":
        return torch.zeros(len(change), dtype=torch.float64)
    if norm == "l0":
        return (change.view(shape[0], shape[1], -1) != 0).any(1).sum(1).double()
    return torch.linalg.vector_norm(change, ord={"linf": torch.inf, "l2": 2, "l1": 1}[norm], dim=1)


def _forbid(bad: Tensor, values: Tensor, what: str, rule: str) -> None:
    if bad.any():
        first = bad.nonzero()[0]
        value, many = values[tuple(first)].item(), int(bad.sum())
        raise DlError(
            f"example {first[0].item()}: {what} {value:.9g} must {rule} ({many} such); the attack is broken: "
            "discard its results, and project on the ball and on [0, 1] last"
        )
