"""How texts are served: long ones through windows, short ones among others of their length.

Windows of an epoch do not overlap; where the first of them starts is drawn from (seed, epoch), so that a token is not
always the first of its window. Short texts are shuffled, then sorted by length within pools of batches, and the batches
shuffled again: little is padding, and every batch is cut to its longest text. What is evaluated stands in its order.
B texts of a batch, T tokens, M windows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from dlcli.batch import IGNORED, PAD, Tokens, Translations
from dlcli.data.loader import Loader, Resident
from dlcli.data.prose import Prose
from dlcli.data.randomness import scramble
from dlcli.errors import DataError

POOL = 20  # batches among which texts are sorted by their length
MOVED, MIXED = 3, 4  # words of their own in the hash, so that offsets and batches are drawn beside the shuffling


class Windows(Loader):
    """Serve a long text through windows, shuffled; or carried on from batch to batch, row by row."""

    def __init__(self, split: Prose, **options: Any) -> None:
        super().__init__(split, **options)
        self.data = replace(split, tokens=split.tokens.to(self.device))
        if not self.shuffle:
            return
        self.examples = max(0, (len(split.tokens) - split.context) // split.context)  # whole ones, wherever they start
        if split.order == "carried":
            self.examples -= self.examples % self.size
        if self.examples < self.size:
            raise DataError(
                f"a text of {len(split.tokens):,} tokens has no {self.size} windows of {split.context} to train on: "
                "a longer text, or a smaller batch or data.source.context"
            )

    def take(self, indices: Sequence[int] | Tensor) -> Tokens:
        """Return the windows `indices` as they lie one behind the other."""
        return _long(self.data.pick(torch.as_tensor(indices, dtype=torch.long, device=self.device)))

    def _order(self, epoch: int) -> Tensor:
        if self.data.order == "shuffled":
            return super()._order(epoch)
        return torch.arange(self.examples).view(self.size, -1).T.flatten()  # (M,), the next of each row in turn

    def _batches(self, parts: Sequence[slice | Tensor], epoch: int) -> Iterator[Tokens]:
        offset = scramble(self.seed, epoch, MOVED) % self.data.context
        for part in parts:
            if isinstance(part, slice):
                yield self.take(torch.arange(part.start, part.stop))
            else:
                yield _long(self.data.drawn(offset + self.data.context * part.to(self.device)))


class Texts(Resident):
    """Serve short texts, or pairs of them, in batches of about one length."""

    def __init__(self, split: Tokens | Translations, **options: Any) -> None:
        super().__init__(split, **options)
        self.lengths = lengths(type(self.data)(*(field.cpu() for field in self.data)))

    def take(self, indices: Sequence[int] | Tensor) -> Any:
        """Return the examples `indices`, cut to the longest of them."""
        return self._cut(torch.as_tensor(indices, dtype=torch.long).cpu())

    def _order(self, epoch: int) -> Tensor:
        order = Loader._order(self, epoch)
        full = len(order) // self.size
        batches, rest = order[: full * self.size], order[full * self.size :]
        pool = torch.arange(len(batches)) // (POOL * self.size)
        longest = torch.stack(self.lengths).sum(0)[batches]  # of both sides where there are two
        ranked = batches[(pool * (1 + longest.max()) + longest).argsort(stable=True)]
        mixed = torch.randperm(full, generator=torch.Generator().manual_seed(scramble(self.seed, epoch, MIXED) >> 1))
        return torch.cat([ranked.view(full, self.size)[mixed].flatten(), rest])

    def _batches(self, parts: Sequence[slice | Tensor], epoch: int) -> Iterator[Any]:
        for part in parts:
            yield self._cut(torch.arange(part.start, part.stop) if isinstance(part, slice) else part)

    def _cut(self, rows: Tensor) -> Any:
        """Return a batch without the columns that are padding in all its texts."""
        chosen = rows.to(self.device)
        fields = [field[chosen] for field in self.data]
        for number, length in enumerate(self.lengths):
            longest = int(length[rows].max()) if len(rows) else 0
            fields[number] = fields[number][:, : max(1, longest)]
        if isinstance(self.data, Tokens) and fields[1].ndim == 2:
            fields[1] = fields[1][:, : fields[0].shape[1]]
        return _long(type(self.data)(*fields))


def lengths(texts: Tokens | Translations) -> list[Tensor]:
    """Return how long each text is, (N,), for each field of its own length."""
    used = [texts.x != PAD]
    if isinstance(texts, Translations):
        used.append(texts.y != PAD)
    elif texts.y.ndim == 2:  # a vocabulary without padding may have a token of that number
        used[0] |= texts.y != IGNORED
    return [(mask * torch.arange(1, mask.shape[1] + 1)).amax(1) for mask in used]


def _long(batch: Any) -> Any:
    return type(batch)(*(field.long() for field in batch))
