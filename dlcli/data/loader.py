"""Serve a data set batch by batch: from memory where it fits, else from files that are decoded ahead of time.

Everything drawn is a function of (seed, epoch, example): a resumed run asks for `epoch(e, start=b)` and gets the
same batches that it would have got.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from dlcli.batch import Images, Masks, Pairs, Tokens, Translations
from dlcli.data.album import Album
from dlcli.data.randomness import STILL, Counter, Draw, scramble
from dlcli.data.splits import Rest, pick
from dlcli.errors import ConfigError, DataError

LIMIT = 1  # a word of its own in the hash, so that limiting and shuffling are independent


class Loader:
    """Iterate over epochs of batches; pictures at rest as bytes are served as floats in [0, 1].

    The last batch may be smaller. When shuffling, a last batch of a single example is left out (batch
    normalization has no variance there); the next epoch leaves out another one. `limit` keeps a share of the
    examples, chosen by `seed`.
    """

    def __init__(
        self,
        split: Rest,
        *,
        size: int,
        seed: int = 0,
        shuffle: bool = True,
        augment: Callable[[Any, Draw], Any] | None = None,
        device: torch.device | str = "cpu",
        limit: float = 1.0,
    ) -> None:
        self.data: Any = limited(split, limit, seed)
        self.size, self.seed, self.shuffle = size, seed, shuffle
        self.augment = augment or None  # an empty chain is false
        self.device = torch.device(device)
        self.examples = self.data.size
        if shuffle and self.examples < size:
            raise DataError(
                f"the training split has {self.examples} examples but a batch takes {size}: "
                f"a batch must fit into the split; set batch={self.examples} or less, or a larger limit if there is one"
            )
        if self.augment and not isinstance(split, (Images, Masks, Album)):
            raise ConfigError(
                f"augment={type(augment).__name__} got rows of shape {tuple(split.x.shape[1:])}: "
                "only pictures (C, H, W) can be augmented; set augment=none"
            )

    def __len__(self) -> int:
        """Count the batches of an epoch."""
        full, rest = divmod(self.examples, self.size)
        lone = self.shuffle and rest == 1 and full > 0
        return full + (rest > 0) - lone

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """Yield the batches of one epoch from batch number `start` on."""
        order = self._order(epoch) if self.shuffle else None
        rows = [self._part(number) for number in range(start, len(self))]
        yield from self._batches(rows if order is None else [order[part] for part in rows], epoch)

    def rows(self, epoch: int, number: int) -> Tensor:
        """Return which examples a batch of an epoch holds."""
        order = self._order(epoch) if self.shuffle else torch.arange(self.examples)
        return order[self._part(number)]

    def take(self, indices: Sequence[int] | Tensor) -> Any:
        """Return the examples `indices` as they are, without augmentation."""
        raise NotImplementedError

    def _batches(self, parts: Sequence[slice | Tensor], epoch: int) -> Iterator[Any]:
        raise NotImplementedError

    def _part(self, number: int) -> slice:
        """Return where a batch stands in the order of its epoch."""
        return slice(number * self.size, min((number + 1) * self.size, self.examples))

    def _order(self, epoch: int) -> Tensor:
        generator = torch.Generator().manual_seed(scramble(self.seed, epoch) >> 1)
        return torch.randperm(self.examples, generator=generator)

    def _served(self, batch: Any, rows: slice | Tensor, epoch: int) -> Any:
        """Return a batch at rest on the device as the net sees it."""
        batch = _awake(batch)
        if not self.augment:
            return batch
        index = torch.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows
        return self.augment(batch, Counter(self.seed, epoch, index.to(self.device)))


class Resident(Loader):
    """Serve a data set that lies whole on the device: no workers, no collating."""

    def __init__(self, split: Rest, **options: Any) -> None:
        super().__init__(split, **options)
        self.data = type(self.data)(*(field.to(self.device) for field in self.data))

    def take(self, indices: Sequence[int] | Tensor) -> Any:
        """Return the examples `indices` as they are, without augmentation."""
        return _awake(pick(self.data, torch.as_tensor(indices, dtype=torch.long, device=self.device)))

    def _order(self, epoch: int) -> Tensor:
        return super()._order(epoch).to(self.device)

    def _batches(self, parts: Sequence[slice | Tensor], epoch: int) -> Iterator[Any]:
        for rows in parts:
            batch = type(self.data)(*(field[rows] for field in self.data))
            yield self._served(batch, rows, epoch)


class Stream(Loader):
    """Serve pictures from their files, which worker processes decode while the net learns."""

    def take(self, indices: Sequence[int] | Tensor) -> Any:
        """Return the examples `indices` as they are, without augmentation."""
        rows = torch.as_tensor(indices, dtype=torch.long).cpu()
        return _awake(self._moved(next(self.data.read([rows]))))

    def _batches(self, parts: Sequence[slice | Tensor], epoch: int) -> Iterator[Any]:
        rows = [torch.arange(part.start, part.stop) if isinstance(part, slice) else part for part in parts]
        for part, batch in zip(rows, self.data.read(rows), strict=True):
            yield self._served(self._moved(batch), part, epoch)

    def _moved(self, batch: Images) -> Images:
        """Bring a batch to the device; memory that cannot be paged out lets the copy overlap with the computation."""
        if self.device.type != "cuda":
            return batch
        return Images(*(field.pin_memory().to(self.device, non_blocking=True) for field in batch))


class Cut(Loader):
    """Serve squares that are cut out of whole pictures, others in each epoch."""

    def take(self, indices: Sequence[int] | Tensor) -> Any:
        """Return the examples `indices`, cut where no epoch cuts them."""
        return self._moved(torch.as_tensor(indices, dtype=torch.long).cpu(), STILL)

    def _batches(self, parts: Sequence[slice | Tensor], epoch: int) -> Iterator[Any]:
        for part in parts:
            yield self._moved(torch.arange(part.start, part.stop) if isinstance(part, slice) else part, epoch)

    def _moved(self, rows: Tensor, epoch: int) -> Pairs:
        batch = self.data.cut(rows, self.seed, epoch)
        return _awake(Pairs(*(field.to(self.device) for field in batch)))


def _awake(batch: Any) -> Any:
    """Return what rests small as the numbers for which it stands: pixels in [0, 1], classes and tokens as int64."""
    if isinstance(batch, Tokens | Translations):
        return type(batch)(*(field.long() for field in batch))
    if batch.x.dtype == torch.uint8:
        batch = batch._replace(x=batch.x.float().div_(255))
    if isinstance(batch, Pairs) and batch.other.dtype == torch.uint8:
        batch = batch._replace(other=batch.other.float().div_(255))
    return batch._replace(y=batch.y.long()) if batch.y.dtype == torch.uint8 else batch


def limited(split: Rest, limit: float, seed: int) -> Rest:
    """Keep a share of the examples, in their order, drawn from all of them: files may be sorted by class."""
    if not 0 < limit <= 1:
        raise ConfigError(f"limit={limit} is out of range: it is the share of the examples to keep, in (0, 1]")
    if limit == 1:
        return split
    generator = torch.Generator().manual_seed(scramble(seed, LIMIT, LIMIT) >> 1)
    kept = torch.randperm(split.size, generator=generator)[: math.ceil(limit * split.size)]
    return pick(split, kept.sort().values)
