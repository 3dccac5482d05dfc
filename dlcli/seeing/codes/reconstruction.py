"""What comes back: examples, what the model makes of them, and the difference.

    squared error = sum over the pixels of (rebuild(x) - x)^2        (Hinton & Salakhutdinov 2006, Science 313)

x (N, C, H, W) in [0, 1].
"""

from typing import Any

from torch import Tensor

from dlcli.figures import Row, sheet
from dlcli.seeing.codes.scene import FEW, Codes, classes


def squared(x: Tensor, other: Tensor) -> Tensor:
    """Return the squared error of each example, (N, ...) twice -> (N,)."""
    return (x - other).flatten(1).square().sum(1)


def draw(codes: Codes) -> dict[str, Any]:
    """Draw a few examples over what comes back of them."""
    x, back = codes.x[:FEW], codes.rebuilt[:FEW]
    words = [codes.names[kind] for kind in codes.y[:FEW].tolist()] if classes(codes) is None else []
    errors = squared(codes.x, codes.rebuilt)
    rows = [
        Row(x, label="input", captions=words),
        Row(back, label="output", captions=[f"{error:.3g}" for error in errors[:FEW].tolist()]),
        Row(heat=(back - x).mean(1), label="difference", signed=True),
    ]
    title = f"squared error of each picture; of {len(errors)} pictures {errors.mean():.3g} on average"
    return {"reconstruction": sheet(title, rows, "too dark      too bright")}
