"""Pictures of the user's own: a folder for each class.

    PATH/cat/1.jpg  PATH/dog/1.png  ...             the splits are drawn by `split_seed`
    PATH/train/cat/1.jpg  PATH/test/cat/9.jpg  ...  train, valid (or val, validation) and test as they are

Files below a class folder belong to that class, however deep. What becomes of odd pictures is said in `decode`; files
that cannot be read, or are no pictures, are left out, and `facts["notes"]` names them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dlcli.batch import Images
from dlcli.data.album import Album
from dlcli.data.decode import SUFFIXES, Unreadable, oddities
from dlcli.data.facts import class_facts, image_facts
from dlcli.data.files import locate
from dlcli.data.notes import Notes
from dlcli.data.splits import Splits, hold_out, pick
from dlcli.data.workers import workers
from dlcli.errors import ConfigError, DataError
from dlcli.text import printable

ALIASES = {"train": ("train",), "valid": ("valid", "val", "validation"), "test": ("test",)}
SAMPLE = 2000  # training pictures of which mean and standard deviation are taken where not all are in memory
UNREADABLE = "left out, cannot be read"


@dataclass(frozen=True, kw_only=True)
class Folder:
    """Load pictures, brought to `height` x `width` and to `channels` (3 colour, 1 grey).

    Sets of up to `memory` megabytes of pixels are decoded once; larger ones stay in their files and are decoded by
    `workers` processes while the net learns. `verify` decodes those once before, so that broken ones are left out.
    """

    path: str
    height: int = 64
    width: int = 64
    channels: int = 3
    valid: int | float = 0.2
    test: int | float = 0.2
    split_seed: int = 0
    memory: float = 2000.0
    workers: int = 2
    verify: bool = True

    def load(self, root: Path) -> Splits:
        """Find, check and decode; raise DataError for folders that cannot be learned from."""
        if self.channels not in (1, 3) or min(self.height, self.width) < 1 or self.workers < 0:
            raise ConfigError(
                f"channels={self.channels}, height={self.height}, width={self.width}, workers={self.workers}: "
                "channels are 1 or 3, pictures at least 1 x 1, workers 0 or more"
            )
        base = locate(self.path, root, folder=True)
        notes = Notes(base)
        folders = _parts(base)
        names = _classes(folders["train"])
        albums = {part: self._album(folder, names, notes) for part, folder in folders.items()}
        pixels = sum(album.size for album in albums.values()) * self.channels * self.height * self.width
        fits = pixels <= self.memory * 1e6
        parts = {
            part: self._read(album, notes, fits) if fits or self.verify else album for part, album in albums.items()
        }
        for part, split in parts.items():
            _refuse_empty(split, names if part == "train" else [], folders[part], notes)
        train, valid, test = self._cut(parts)
        return Splits(train, valid, test, self._facts(train) | class_facts(names) | {"notes": notes.lines()})

    def _album(self, folder: Path, names: list[str], notes: Notes) -> Album:
        """List the pictures of all classes."""
        if strange := sorted(set(_folders(folder)) - set(names)):
            raise DataError(f"{printable(folder / strange[0])}: training has no such class; move or delete the folder")
        found = [_pictures(folder / name, notes) for name in names]
        classes = [number for number, paths in enumerate(found) for _ in paths]
        return Album(
            paths=[path for paths in found for path in paths],
            y=torch.tensor(classes, dtype=torch.long),
            shape=(self.channels, self.height, self.width),
            workers=self.workers,
        )

    def _read(self, album: Album, notes: Notes, keep: bool) -> Images | Album:
        """Decode all pictures, leave out those that cannot be, and keep either the pixels or the files."""
        good: list[int] = []
        x = torch.empty(album.size if keep else 0, *album.shape, dtype=torch.uint8)
        for row, pixels in enumerate(workers(self.workers).read(album.wanted(range(album.size)))):
            if isinstance(pixels, Unreadable):
                notes.add(UNREADABLE, album.paths[row], str(pixels))
                continue
            if keep:
                x[len(good)] = torch.tensor(pixels)
            good.append(row)
        rows = torch.tensor(good, dtype=torch.long)
        return Images(x[: len(good)], album.y[rows]) if keep else album.pick(rows)

    def _cut(self, parts: dict[str, Any]) -> list[Any]:
        """Hold out what is not a folder of its own; shares are shares of the pictures that it is held out of."""
        rest, total = parts["train"], parts["train"].size
        for part, wanted in (("test", self.test), ("valid", self.valid)):
            if part not in parts:
                count = round(wanted * total) if isinstance(wanted, float) else wanted
                kept, held = hold_out(rest.y, count, self.split_seed)
                rest, parts[part] = pick(rest, kept), pick(rest, held)
        return [rest, parts["valid"], parts["test"]]

    def _facts(self, train: Images | Album) -> dict[str, Any]:
        """State the facts on all training pictures, or on a sample of those that stay in their files."""
        if isinstance(train, Images):
            return image_facts(train.x)
        rows = torch.randperm(train.size, generator=torch.Generator().manual_seed(self.split_seed))[:SAMPLE]
        return image_facts(next(train.read([rows.sort().values])).x)


def _parts(base: Path) -> dict[str, Path]:
    """Return the folders of the official splits, or the whole as training where there are none."""
    if not (base / "train").is_dir():
        return {"train": base}
    found = {part: [base / name for name in names if (base / name).is_dir()] for part, names in ALIASES.items()}
    return {part: folders[0] for part, folders in found.items() if folders}


def _folders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _classes(folder: Path) -> list[str]:
    names = _folders(folder)
    if len(names) < 2:
        has = f"only {printable(names[0])}" if names else "none"
        raise DataError(
            f"{printable(folder)} must hold a folder of pictures for each class, two at least, and has {has}: "
            "sort the pictures into folders named as their classes"
        )
    return names


def _pictures(folder: Path, notes: Notes) -> list[str]:
    """List the pictures of one class in the order of their names, and note what is odd about them."""
    good = []
    for path in sorted(folder.rglob("*")) if folder.is_dir() else []:
        if path.name.startswith(".") or not path.is_file():
            continue
        if path.suffix.lower() not in SUFFIXES:
            notes.add("left out, no pictures by their names", str(path))
            continue
        try:
            for what in oddities(str(path)):
                notes.add(what, str(path))
            good.append(str(path))
        except Unreadable as error:
            notes.add(UNREADABLE, str(path), str(error))
    return good


def _refuse_empty(split: Images | Album, names: list[str], folder: Path, notes: Notes) -> None:
    """Raise DataError for a class without pictures in training, and for a split without any."""
    counts = torch.bincount(split.y, minlength=len(names)).tolist()
    empty = [folder / name for name, count in zip(names, counts, strict=False) if count == 0]
    empty += [] if split.size else [folder]
    if empty:
        reasons = notes.lines("left out", empty[0])
        raise DataError(
            f"{printable(empty[0])} has no picture that can be used{': ' + '; '.join(reasons) if reasons else ''}; "
            f"pictures end in {', '.join(sorted(SUFFIXES))}; add some, or delete the folder"
        )
