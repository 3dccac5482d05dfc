"""Examples of validation and test that training has seen: scores then tell in part what was learned by heart."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dlcli.data.album import Album
from dlcli.data.crops import Crops
from dlcli.data.prose import Prose
from dlcli.data.splits import Splits

AT_ONCE = 4096  # examples


def overlap(splits: Splits) -> list[str]:
    """Return a note for each split that shares inputs with training, to the bit; none for what is not whole in memory.

    Running text and squares that are cut anew have no examples that could be shared.
    """
    if isinstance(splits.train, Album | Crops | Prose):
        return []
    others: dict[str, Any] = {"validation": splits.valid, "test": splits.test}
    counts = {name: seen(splits.train.x, split.x) for name, split in others.items()}
    return [
        f"{count} of {others[name].size} {name} examples also stand in the training split"
        for name, count in counts.items()
        if count
    ]


def seen(known: Tensor, x: Tensor) -> int:
    """Return how many rows of x (N, ...) are rows of `known` (M, ...), too."""
    sums, rows = _sums(known), _sums(x)
    alike = torch.isin(rows, sums)  # few, among which the bytes decide
    whole = {row.tobytes() for row in known[torch.isin(sums, rows[alike])].numpy()}
    return sum(row.tobytes() in whole for row in x[alike].numpy())


def _sums(x: Tensor) -> Tensor:
    """Return the sum (N,) of the bytes of each example, eight at a time."""
    parts = (part.flatten(1).contiguous().view(torch.uint8) for part in x.split(AT_ONCE))
    return torch.cat([F.pad(part, (0, -part.shape[1] % 8)).view(torch.int64).sum(1) for part in parts])
