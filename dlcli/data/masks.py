"""Segmented pictures: from a folder of the user's own, from the ISBI 2012 challenge, and made by formula.

Pictures rest as bytes (N, C, H, W), masks as bytes (N, H, W) with the class of each pixel; the weight of each pixel in
the loss is computed once (`border`).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dlcli.batch import Masks
from dlcli.data.border import shares_of, weights
from dlcli.data.decode import SUFFIXES, Unreadable, Wanted, decode, decode_mask, size
from dlcli.data.facts import image_facts
from dlcli.data.files import locate
from dlcli.data.splits import Splits, hold_out
from dlcli.errors import ConfigError, DataError
from dlcli.text import printable

MOST = 64  # distinct values of masks; more are grey levels, not classes
SECTIONS, SIDE = 30, 512
ISBI_SHA256 = "a6036caf93768d8ec1c099fa735bf6e9fa33f9093c08f7e94ad3ba6945c3deac"


@dataclass(frozen=True, kw_only=True)
class Segmented:
    """What all share: weights, and facts from the training pictures. `gap` is w0, `sigma` its width in pixels."""

    gap: float = 10.0
    sigma: float = 5.0

    def splits(self, parts: Sequence[tuple[Tensor, Tensor]], names: Sequence[str], notes: Sequence[str] = ()) -> Splits:
        """Return the splits of pictures (N, C, H, W) and masks (N, H, W); only training pixels count differently."""
        if self.gap < 0 or self.sigma <= 0:
            raise ConfigError(f"gap={self.gap}, sigma={self.sigma}: gap must be at least 0 and sigma above 0")
        (x, y), *held = parts
        train = Masks(x, y, weights(y, shares_of(y, len(names)), self.gap, self.sigma))
        valid, test = (Masks(x, y, torch.ones(()).expand(y.shape)) for x, y in held)
        facts: dict[str, Any] = {"kind": "masks", "classes": len(names), "names": list(names), "notes": list(notes)}
        return Splits(train, valid, test, image_facts(train.x) | facts)


@dataclass(frozen=True, kw_only=True)
class MaskFolder(Segmented):
    """Load PATH/pictures/NAME.* with PATH/masks/NAME.*, brought to `height` x `width` and to `channels`.

    The distinct values of the masks, in order, are the classes; the lowest is the background.
    """

    path: str
    height: int = 128
    width: int = 128
    channels: int = 3
    valid: int | float = 0.2
    test: int | float = 0.2
    split_seed: int = 0

    def load(self, root: Path) -> Splits:
        """Read and cut; raise DataError for a picture without mask, and for masks of another size."""
        base = locate(self.path, root, folder=True)
        pictures, masks = (_named(base / name) for name in ("pictures", "masks"))
        if lone := sorted(pictures.keys() ^ masks.keys()):
            kind, other = ("picture", "mask") if lone[0] in pictures else ("mask", "picture")
            raise DataError(
                f"{printable(base)}: {kind} {printable(lone[0])!r} has no {other} ({len(lone)} without a partner); "
                "pictures/NAME and masks/NAME belong together: add or delete one"
            )
        shape = (self.height, self.width)
        read = [_pair(pictures[name], masks[name], *shape, self.channels) for name in sorted(pictures)]
        x, values = (torch.from_numpy(np.stack(column)) for column in zip(*read, strict=True))
        levels, y = values.unique(return_inverse=True)
        if not 2 <= len(levels) <= MOST:
            raise DataError(
                f"{printable(base / 'masks')} has {len(levels)} distinct values: from 2 to {MOST} are classes; "
                "store class numbers, two at least, and no grey levels or lossy files (JPEG)"
            )
        y = y.to(torch.uint8)
        test = _count(self.test, len(x))
        rest, tested = hold_out(torch.zeros(len(x)), test, self.split_seed)
        train, held = hold_out(torch.zeros(len(rest)), _count(self.valid, len(x)), self.split_seed)
        parts = [(x[rows], y[rows]) for rows in (rest[train], rest[held], tested)]
        names = [str(level) for level in levels.tolist()]
        return self.splits(parts, names, [f"mask values {', '.join(names)} became classes 0 to {len(names) - 1}"])


@dataclass(frozen=True, kw_only=True)
class ISBI(Segmented):
    """Load the 30 electron micrographs of the ISBI 2012 challenge: membrane (0) and inside of cells (1).

    The sections are consecutive, so neighbours look alike: the last `test` and, before them, `valid` are held out as
    blocks. `tile` cuts each into squares of so many pixels. Arganda-Carreras et al., Front. Neuroanat. 9:142, 2015.
    """

    folder: str = "isbi-2012"
    tile: int | None = 128
    valid: int = 5
    test: int = 5

    def load(self, root: Path) -> Splits:
        """Read, check and cut; raise DataError for files that are absent or other ones."""
        counts = isinstance(self.valid, int) and isinstance(self.test, int)
        if not counts or min(self.valid, self.test) < 1 or self.valid + self.test >= SECTIONS:
            raise ConfigError(f"valid={self.valid}, test={self.test}: counts of 1 or more, together below {SECTIONS}")
        if self.tile is not None and (not 1 <= self.tile <= SIDE or SIDE % self.tile):
            raise ConfigError(f"tile={self.tile}: it must divide {SIDE}; null keeps whole sections")
        x, y = self._read(root / self.folder / "train")
        first, second = SECTIONS - self.valid - self.test, SECTIONS - self.test
        blocks = [(x[part], y[part]) for part in (slice(first), slice(first, second), slice(second, None))]
        whole = self.splits(blocks, ("membrane", "cell"))
        train, valid, test = (Masks(*(_tiled(field, self.tile or SIDE) for field in part)) for part in whole[:3])
        side = self.tile or SIDE
        return Splits(train, valid, test, whole.facts | {"features": side**2, "height": side, "width": side})

    def _read(self, folder: Path) -> tuple[Tensor, Tensor]:
        """Return pictures (30, 1, 512, 512) and masks (30, 512, 512)."""
        paths = [folder / kind / f"{number}.png" for kind in ("image", "label") for number in range(SECTIONS)]
        if absent := [path for path in paths if not path.is_file()]:
            raise DataError(
                f"no {absent[0]} ({len(absent)} of {len(paths)} files missing): put data/membrane/train of "
                "github.com/zhixuhao/unet there, or name the folder above with paths.data=DIR or DL_DATA=DIR; "
                "meanwhile data=discs needs no files"
            )
        found = hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()
        if found != ISBI_SHA256:
            raise DataError(
                f"{folder} has SHA-256 {found}, not {ISBI_SHA256}: a file is damaged or another; fetch it anew"
            )
        x = [decode(Wanted(str(path), SIDE, SIDE, 1)) for path in paths[:SECTIONS]]
        y = [decode_mask(str(path), SIDE, SIDE) > 127 for path in paths[SECTIONS:]]
        return torch.from_numpy(np.stack(x)), torch.from_numpy(np.stack(y)).to(torch.uint8)


@dataclass(frozen=True, kw_only=True)
class Discs(Segmented):
    """Make pictures of bright discs in noise, some of which nearly touch; by formula, as no file is needed."""

    samples: int = 100
    side: int = 48
    discs: int = 6
    noise: float = 0.2
    split_seed: int = 0

    def load(self, root: Path) -> Splits:
        """Draw three splits; `root` is not needed."""
        if self.samples < 1 or self.side < 8 or self.discs < 1 or self.noise < 0:
            raise ConfigError(
                f"samples={self.samples}, side={self.side}, discs={self.discs}, noise={self.noise}: "
                "at least one sample and one disc, 8 pixels, and noise of 0 or more are needed"
            )
        parts = [self.draw(torch.Generator().manual_seed(3 * self.split_seed + part)) for part in range(3)]
        return self.splits(parts, ("ground", "disc"))

    def draw(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return pictures (N, 1, side, side) and masks (N, side, side); a later disc pushes earlier ones aside."""
        y = torch.zeros(self.samples, self.side, self.side, dtype=torch.uint8)
        place = torch.arange(self.side)
        for _ in range(self.discs):
            row, column, radius = torch.rand(3, self.samples, 1, 1, generator=generator)
            radius = self.side * (0.08 + 0.1 * radius)
            away = ((place[:, None] - row * self.side) ** 2 + (place - column * self.side) ** 2).sqrt() - radius
            y = torch.where(away < 0, 1, torch.where(away < 1.5, 0, y)).to(torch.uint8)  # a ring of ground about it
        grey = 0.35 + 0.3 * y + self.noise * torch.randn(y.shape, generator=generator)
        return (grey * 255).round().clamp(0, 255).to(torch.uint8)[:, None], y


def _named(folder: Path) -> dict[str, Path]:
    """Return the pictures of a folder by their names without suffix. Raises DataError."""
    if not folder.is_dir():
        raise DataError(f"no folder {printable(folder)}: pictures/ and masks/ are needed, with the same names in both")
    paths = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES]
    if len(named := {path.stem: path for path in paths}) < max(len(paths), 3):
        raise DataError(
            f"{printable(folder)} has {len(paths)} pictures of {len(named)} names: three at least, each name once"
        )
    return named


def _pair(picture: Path, mask: Path, height: int, width: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture (C, H, W) and its mask (H, W), both brought to one size. Raises DataError."""
    path = picture
    try:
        pixels, seen = decode(Wanted(str(picture), height, width, channels)), size(str(picture))
        path = mask
        labels, stated = decode_mask(str(mask), height, width), size(str(mask))
    except Unreadable as error:
        raise DataError(f"{printable(path)} cannot be read: {error}; repair or delete picture and mask") from error
    if seen != stated:
        raise DataError(
            f"{printable(picture)} has {seen[0]} x {seen[1]} pixels, its mask {stated[0]} x {stated[1]}: "
            "they must be of one size; repair or delete both"
        )
    return pixels, labels


def _count(count_or_share: int | float, total: int) -> int:
    return round(count_or_share * total) if isinstance(count_or_share, float) else count_or_share


def _tiled(field: Tensor, side: int) -> Tensor:
    """Cut (N, ..., H, W) into squares (N * H/side * W/side, ..., side, side), row by row."""
    squares = field.unfold(-2, side, side).unfold(-2, side, side)  # (N, ..., rows, columns, side, side)
    return squares.movedim((-4, -3), (1, 2)).flatten(0, 2).contiguous()
