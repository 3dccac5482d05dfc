"""Squares out of pictures of two domains of which no pairs are known, such as photographs and paintings.

Every picture is cut across its longer side: three fifths for training, where squares are drawn anew in each epoch, then
a fifth for validation and one for the test, from which squares are cut half a side apart. No pixel is in two splits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from os.path import commonpath
from pathlib import Path

import torch
from torch import Tensor

from dlcli.batch import Images, Pairs
from dlcli.data.crops import SEED, Crops
from dlcli.data.decode import SUFFIXES, Unreadable, decode_whole
from dlcli.data.domains import beside, pair_facts
from dlcli.data.facts import image_facts
from dlcli.data.files import locate
from dlcli.data.notes import Notes
from dlcli.data.randomness import STILL
from dlcli.data.splits import Splits
from dlcli.errors import ConfigError, DataError
from dlcli.text import printable

SHARE = 5  # one part in so many is for validation, another for the test
LEFT_OUT = "left out"
KEYS = ("path", "other")


@dataclass(frozen=True, kw_only=True)
class Patches:
    """Cut squares of `size` pixels out of pictures whose shorter side was brought to `side`, unless it is smaller.

    `path` and `other` are a folder each, or a list of files; `count` squares of each domain are an epoch; the pictures
    of a domain take `memory` megabytes of pixels at most.
    """

    path: str | Sequence[str]
    other: str | Sequence[str]
    size: int = 64
    side: int = 320
    count: int = 2000
    channels: int = 3
    memory: float = 2000.0

    def load(self, root: Path) -> Splits:
        """Read and cut both domains. Raises ConfigError, and DataError for pictures that cannot be learned from."""
        if self.channels not in (1, 3) or not 8 <= self.size <= self.side or self.count < 1:
            raise ConfigError(
                f"size={self.size}, side={self.side}, count={self.count}, channels={self.channels}: size is at least 8 "
                "and at most side, count at least 1, channels 1 or 3"
            )
        notes: list[str] = []
        domains = [self._pictures(files(getattr(self, key), key, root), key, notes) for key in KEYS]
        parts = [[strips(picture, self.size) for picture in pictures] for pictures in domains]
        learned = [[strip for strip, _, _ in domain] for domain in parts]
        train = Crops(pictures=learned[0], others=learned[1], side=self.size, index=torch.arange(self.count))
        valid, test = (self._held([[strip[place] for strip in domain] for domain in parts]) for place in (1, 2))
        drawn = train.cut(torch.arange(self.count), SEED, STILL)
        return Splits(train, valid, test, image_facts(drawn.x) | pair_facts(drawn.other) | {"notes": notes})

    def _pictures(self, paths: Sequence[Path], key: str, notes: list[str]) -> list[Tensor]:
        """Return the pictures of a domain, bytes (C, H, W); name those that are left out."""
        found, odd, total = [], Notes(Path(commonpath(path.parent for path in paths))), 0
        for path in paths:
            try:
                pixels = torch.from_numpy(decode_whole(str(path), self.side, self.channels))
            except Unreadable as error:
                odd.add(f"{LEFT_OUT}, cannot be read", str(path), str(error))
                continue
            height, width = pixels.shape[1:]
            if min(height, width) < self.size or max(height, width) < 3 * self.size:
                odd.add(f"{LEFT_OUT}, smaller than {self.size} x {3 * self.size} with side={self.side}", str(path))
                continue
            found.append(pixels)
            total += pixels.numel()
            if total > 1e6 * self.memory:
                raise DataError(
                    f"data.source.{key}: the pictures take more than data.source.memory={self.memory:g} megabytes; "
                    "set a smaller data.source.side, or name fewer pictures"
                )
        said = odd.lines()
        if not found:
            raise DataError(
                f"data.source.{key}: no picture can be used: {'; '.join(said)}; add others, or set a smaller "
                "data.source.size or a larger data.source.side"
            )
        notes += said
        return found

    def _held(self, strips: Sequence[Sequence[Tensor]]) -> Pairs:
        """Return the squares of both domains side by side, as many as the smaller domain has."""
        first, second = (torch.cat([lattice(strip, self.size) for strip in domain]) for domain in strips)
        return beside(plain(first), plain(second), longest=False)


def files(named: str | Sequence[str], key: str, root: Path) -> list[Path]:
    """Return the picture files of a domain, those of a folder in the order of their names. Raises DataError."""
    if not named:
        raise DataError(f"data.source.{key}: an empty list; name a folder, or a file at least")
    if not isinstance(named, str):
        return [locate(name, root, key=key).absolute() for name in named]
    base = locate(named, root, folder=True, key=key).absolute()
    found = sorted(path for path in base.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if kept := [path for path in found if not path.name.startswith(".")]:
        return kept
    raise DataError(
        f"data.source.{key}: {printable(base)} holds no picture; pictures end in {', '.join(sorted(SUFFIXES))}"
    )


def strips(picture: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the parts of a picture (C, H, W) for training, validation and test; each is `size` long at least."""
    axis = 1 if picture.shape[1] > picture.shape[2] else 2
    length = picture.shape[axis]
    held = max(size, length // SHARE)
    return picture.split([length - 2 * held, held, held], dim=axis)  # type: ignore[return-value]


def lattice(strip: Tensor, size: int) -> Tensor:
    """Return squares half a side apart, (C, H, W) -> (N, C, size, size)."""
    squares = strip.unfold(1, size, size // 2).unfold(2, size, size // 2)  # (C, rows, columns, size, size)
    return squares.flatten(1, 2).transpose(0, 1).contiguous()


def plain(x: Tensor) -> Images:
    """Return pictures of no class."""
    return Images(x, torch.zeros(len(x), dtype=torch.long))
