"""A split of pictures that stay in their files, because together they do not fit into memory."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dlcli.batch import Images
from dlcli.data.decode import Unreadable, Wanted
from dlcli.data.workers import workers
from dlcli.errors import DataError
from dlcli.text import printable


@dataclass(frozen=True, kw_only=True)
class Album:
    """Files, their classes y (N,), and the size to which each picture is brought."""

    paths: Sequence[str]
    y: Tensor
    shape: tuple[int, int, int]  # (C, H, W)
    workers: int = 2

    @property
    def size(self) -> int:
        """The number of pictures."""
        return len(self.paths)

    def __iter__(self) -> Iterator[Tensor]:
        """Yield what tells this split from another: a hash of the names and lengths of all files, and the classes."""
        listing = "\n".join(f"{Path(path).parts[-2:]} {Path(path).stat().st_size}" for path in self.paths)
        yield torch.frombuffer(
            bytearray(sha256(listing.encode("utf-8", "surrogateescape")).digest()), dtype=torch.uint8
        )
        yield self.y

    def pick(self, rows: Tensor) -> "Album":
        """Return the given pictures."""
        return replace(self, paths=[self.paths[row] for row in rows.tolist()], y=self.y[rows])

    def wanted(self, rows: Iterable[int]) -> Iterator[Wanted]:
        """Yield what is asked of the workers."""
        channels, height, width = self.shape
        return (Wanted(self.paths[row], height, width, channels) for row in rows)

    def read(self, rows: Sequence[Tensor]) -> Iterator[Images]:
        """Yield one batch, bytes at rest, for each tensor of rows; the next ones are decoded meanwhile.

        Raises DataError for a file that cannot be read.
        """
        order = (row for batch in rows for row in batch.tolist())
        pixels = workers(self.workers).read(self.wanted(order))
        for batch in rows:
            x = np.stack([_good(next(pixels), self.paths[row]) for row in batch.tolist()])  # (B, C, H, W)
            yield Images(torch.from_numpy(x), self.y[batch])


def _good(found: np.ndarray | Unreadable, path: str) -> np.ndarray:
    if isinstance(found, Unreadable):
        raise DataError(f"{printable(path)} cannot be read: {found}; delete it, or replace it by a picture that can")
    return found
