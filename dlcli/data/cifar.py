"""CIFAR-10 from its official batches: 60,000 colour pictures of 32 x 32, ten classes.

A batch is a pickled dictionary; `data` (10000, 3072) holds the red, green and blue plane of each picture in turn,
`labels` the classes. Size and SHA-256 of every batch are checked before it is read, and it is read by `unpickle`.
Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
"""

import lzma
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import torch

from dlcli.batch import Images
from dlcli.data.facts import class_facts, image_facts
from dlcli.data.fetch import fetch
from dlcli.data.files import genuine, unpacked, verified
from dlcli.data.splits import Splits, few, hold_out, pick
from dlcli.data.unpickle import unpickle
from dlcli.errors import DataError

INSIDE = "cifar-10-batches-py"
ARCHIVE, ARCHIVE_SIZE = "cifar-10-python.tar.gz", 170498071
ARCHIVE_SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
MIRRORS = (f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}",)
NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TRAIN = {  # by name: bytes, SHA-256
    "data_batch_1": (31035704, "54636561a3ce25bd3e19253c6b0d8538147b0ae398331ac4a2d86c6d987368cd"),
    "data_batch_2": (31035320, "766b2cef9fbc745cf056b3152224f7cf77163b330ea9a15f9392beb8b89bc5a8"),
    "data_batch_3": (31035999, "0f00d98ebfb30b3ec0ad19f9756dc2630b89003e10525f5e148445e82aa6a1f9"),
    "data_batch_4": (31035696, "3f7bb240661948b8f4d53e36ec720d8306f5668bd0071dcb4e6c947f78e9682b"),
    "data_batch_5": (31035623, "d91802434d8376bbaeeadf58a737e3a1b12ac839077e931237e0dcd43adcb154"),
}
TEST = {"test_batch": (31035526, "f53d8d457504f7cff4ea9e021afcf0e0ad8e24a91f3fc42091b8adef61157831")}


@dataclass(frozen=True, kw_only=True)
class CIFAR10:
    """Load the six batches, plain, packed with xz, or in the official archive; `valid` is held out of the first five.

    `train` keeps so many labelled training pictures, as many of each class; None keeps all.
    """

    folder: str = "cifar-10"
    valid: int | float = 5000
    train: int | None = None
    split_seed: int = 0

    def load(self, root: Path) -> Splits:
        """Read, fetching what is missing; raise DataError for batches that are absent or not the official ones."""
        folder = root / self.folder
        whole, test = (
            Images(*map(torch.cat, zip(*(_batch(folder, name, *known[name]) for name in known), strict=True)))
            for known in (TRAIN, TEST)
        )
        rest, held = hold_out(whole.y, self.valid, self.split_seed)
        train = pick(whole, rest[few(whole.y[rest], self.train, self.split_seed)])
        return Splits(train, pick(whole, held), test, image_facts(train.x) | class_facts(NAMES))


def _batch(folder: Path, name: str, size: int, sha256: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return pictures (N, 3, 32, 32) and classes (N,) of one batch."""
    found = unpickle(_content(folder, name, size, sha256), name)
    x = torch.from_numpy(found["data"]).view(-1, 3, 32, 32)  # (N, 3072) -> (N, C, H, W)
    return x, torch.tensor(found["labels"])


def _content(folder: Path, name: str, size: int, sha256: str) -> bytes:
    """Return one batch as it was published, whichever way it is packed."""
    plain, packed = folder / INSIDE / name, folder / INSIDE / f"{name}.xz"
    if plain.is_file():
        return verified(plain, size, sha256)
    if packed.is_file():
        return unpacked(size, sha256, lambda: genuine(_inflated(packed, size), size, sha256, str(packed)))
    archive = _archive(folder)
    return unpacked(size, sha256, lambda: genuine(_member(archive, name, size), size, sha256, f"{name} in {archive}"))


def _inflated(path: Path, size: int) -> bytes:
    """Unpack no more than one byte beyond the expected size."""
    try:
        return lzma.LZMADecompressor(memlimit=2**28).decompress(path.read_bytes(), max_length=size + 1)
    except lzma.LZMAError as error:
        raise DataError(f"{path} is no xz file: {error}; delete it") from error


def _member(archive: Path, name: str, size: int) -> bytes:
    """Read one file out of the archive; nothing is extracted, so no path in it matters."""
    try:
        with tarfile.open(archive, "r:gz") as tar:
            member = tar.extractfile(f"{INSIDE}/{name}")
            if member is None:
                raise KeyError(f"{name} is no file")
            return member.read(size + 1)
    except (tarfile.TarError, zlib.error, KeyError, OSError, EOFError) as error:
        raise DataError(f"{archive} cannot be read: {error}; delete it") from error


def _archive(folder: Path) -> Path:
    """Return the official archive, fetched if need be; raise DataError that says what to put where."""
    path = folder / ARCHIVE
    if not path.is_file():
        try:
            fetch(MIRRORS, path, size=ARCHIVE_SIZE, sha256=ARCHIVE_SHA256)
        except DataError as error:
            raise DataError(
                f"CIFAR-10 is missing: neither {folder / INSIDE} nor {path} has all batches\nfetching failed: {error}\n"
                "put the archive there (official address: https://www.cs.toronto.edu/~kriz/cifar.html), or name the "
                "folder above with paths.data=DIR or DL_DATA=DIR;\nmeanwhile data=digits needs no files"
            ) from error
    return path
