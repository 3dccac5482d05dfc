"""Measure a model on a whole split."""

from typing import Any

import torch
from torch import Tensor

from dlcli.engine import randomness
from dlcli.engine.precision import Precision
from dlcli.errors import DivergedError
from dlcli.model import Model


class Halted(Exception):
    """Somebody asked the run to stop while it was scored; nothing of the scores is kept."""


@torch.no_grad()
def measure(model: Model, batches: Any, precision: Precision, seed: int, stop: Any = False) -> dict[str, Tensor]:
    """Return what a model measures on a whole split, on the CPU, without touching its random streams.

    Raises Halted when `stop` comes true, and DivergedError if a value is not a number.
    """
    model.eval()
    rows = []
    with randomness.aside(seed), precision.forward():
        for batch in batches.epoch(0):
            rows.append({name: value.cpu() for name, value in model.measure(batch).items()})
            if stop:
                raise Halted
    measured = {name: torch.cat([row[name] for row in rows]) for name in rows[0]}
    for name, values in measured.items():
        if lost := int(values.isnan().sum()):
            raise DivergedError(
                f"{name}: not a number for {lost} of {len(values)} examples, so the weights are useless. "
                "Train with a smaller optimizer.lr, or clip=1"
            )
    return measured
