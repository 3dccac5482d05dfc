"""Serve a data set that lies whole on the device, batch by batch, without workers and without collating.

Everything drawn is a function of (seed, epoch, example): a resumed run asks for `epoch(e, start=b)` and gets the
same batches that it would have got.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from dlcli.data.randomness import Counter, Draw, scramble
from dlcli.data.splits import Rest, pick
from dlcli.errors import ConfigError, DataError

LIMIT = 1  # a word of its own in the hash, so that limiting and shuffling are independent


class Resident:
    """Iterate over epochs of batches; pictures at rest as bytes are served as floats in [0, 1].

    The last batch may be smaller. When shuffling, a last batch of a single example is left out (batch
    normalization has no variance there); the next epoch leaves out another one. `limit` keeps a share of the
    examples, chosen by `seed`.
    """

    def __init__(
        self,
        batch: Rest,
        *,
        size: int,
        seed: int = 0,
        shuffle: bool = True,
        augment: Callable[[Tensor, Draw], Tensor] | None = None,
        device: torch.device | str = "cpu",
        limit: float = 1.0,
    ) -> None:
        batch = _limited(batch, limit, seed)
        self.data = type(batch)(*(field.to(device) for field in batch))
        self.size, self.seed, self.shuffle = size, seed, shuffle
        self.augment = augment or None  # an empty chain is false
        self.examples = batch.size
        if shuffle and self.examples < size:
            raise DataError(
                f"the training split has {self.examples} examples but a batch takes {size}: "
                f"a batch must fit into the split; set batch={self.examples} or less"
            )
        if self.augment and batch.x.ndim != 4:
            raise ConfigError(
                f"augment={type(augment).__name__} got rows of shape {tuple(batch.x.shape[1:])}: "
                "only pictures (C, H, W) can be augmented; set augment=none"
            )

    def __len__(self) -> int:
        """Count the batches of an epoch."""
        full, rest = divmod(self.examples, self.size)
        lone = self.shuffle and rest == 1 and full > 0
        return full + (rest > 0) - lone

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Rest]:
        """Yield the batches of one epoch from batch number `start` on."""
        order = self._order(epoch) if self.shuffle else None
        for first in range(start * self.size, len(self) * self.size, self.size):
            rows = slice(first, min(first + self.size, self.examples))
            yield self._batch(rows if order is None else order[rows], epoch)

    def take(self, indices: Sequence[int] | Tensor) -> Rest:
        """Return the examples `indices` as they are, without augmentation."""
        batch = pick(self.data, torch.as_tensor(indices, dtype=torch.long, device=self.data.x.device))
        return batch._replace(x=_pixels(batch.x))

    def _order(self, epoch: int) -> Tensor:
        generator = torch.Generator().manual_seed(scramble(self.seed, epoch) >> 1)
        return torch.randperm(self.examples, generator=generator).to(self.data.x.device)

    def _batch(self, rows: slice | Tensor, epoch: int) -> Rest:
        batch: Any = type(self.data)(*(field[rows] for field in self.data))
        x = _pixels(batch.x)
        if self.augment:
            index = torch.arange(rows.start, rows.stop, device=x.device) if isinstance(rows, slice) else rows
            x = self.augment(x, Counter(self.seed, epoch, index))
        return batch._replace(x=x)


def _pixels(x: Tensor) -> Tensor:
    return x.float().div_(255) if x.dtype == torch.uint8 else x


def _limited(batch: Rest, limit: float, seed: int) -> Rest:
    """Keep a share of the examples, in their order, drawn from all of them: files may be sorted by class."""
    if not 0 < limit <= 1:
        raise ConfigError(f"limit={limit} is out of range: it is the share of the examples to keep, in (0, 1]")
    if limit == 1:
        return batch
    generator = torch.Generator().manual_seed(scramble(seed, LIMIT, LIMIT) >> 1)
    kept = torch.randperm(batch.size, generator=generator)[: math.ceil(limit * batch.size)]
    return pick(batch, kept.sort().values)
