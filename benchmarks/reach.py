"""How far does the gradient of a recurrent net reach? A table and docs/gradient-reach.png, one curve for each cell.

Nets of 256 units with torch's first weights read normal random numbers; the sum of the last state is differentiated by
the inputs before it. The factor is what one step leaves of the norm, from the mean over the last half of the distances.
"""

from typing import Any

import common

KINDS: dict[str, dict[str, Any]] = {
    "vanilla": {"cell": "vanilla"},
    "vanilla, skip=5": {"cell": "vanilla", "skip": 5},
    "gru": {"cell": "gru"},
    "gru_lecture": {"cell": "gru_lecture"},
    "lstm": {"cell": "lstm"},
}
INPUTS, WIDTH, ROWS, FAR = 64, 256, 32, 64


def main() -> None:
    """Measure every kind, print the table and draw the figure."""
    given = common.options(__doc__, out="file of the figure (default reach.png)")
    width, far = (16, 12) if given.quick else (WIDTH, FAR)
    from dlcli import figures

    curves = {name: slopes(width, far, **kind) for name, kind in KINDS.items()}
    rows = []
    for name, norms in curves.items():
        factor = (norms[-1] / norms[far // 2]).item() ** (1 / (far - 1 - far // 2))
        rows.append([name, *(f"{norms[at - 1].item():.1e}" for at in (1, far // 2, far)), f"{factor:.3f}"])
    common.show(rows, given, ("cell", "distance 1", f"{far // 2}", f"{far}", "factor of a step"))
    figures.fading(curves).savefig(given.out or "reach.png", dpi=100)


def slopes(width: int, far: int, **kind: Any) -> Any:
    """Return the mean norm of the gradient by the distance of the input, from 1 on, (far,)."""
    import torch

    from dlcli.nets.recurrent import Recurrent

    torch.manual_seed(0)
    net = Recurrent(inputs=INPUTS, width=width, **kind)
    x = torch.randn(ROWS, far + 1, INPUTS, requires_grad=True)
    (slope,) = torch.autograd.grad(net(x)[0][:, -1].sum(), x)
    return slope.norm(dim=-1).mean(0).flip(0)[1:]


if __name__ == "__main__":
    main()
