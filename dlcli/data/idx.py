"""MNIST and Fashion-MNIST from their official files, in the IDX format.

An IDX file is two zero bytes, a type code (8: unsigned byte), the number of dimensions, each dimension as a
big-endian 32-bit count, and the values. LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to
document recognition", 1998; Xiao, Rasul, Vollgraf, "Fashion-MNIST", 2017, arXiv:1708.07747.
"""

import gzip
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from dlcli.batch import Images
from dlcli.data.facts import class_facts, image_facts
from dlcli.data.fetch import fetch
from dlcli.data.files import verified
from dlcli.data.splits import Splits, few, hold_out, pick
from dlcli.errors import ConfigError, DataError

UNSIGNED_BYTE = 8
DRAW_SEED = 0  # of the static binarization


class Collection(NamedTuple):
    """Where four official files come from and how they are recognized."""

    home: str
    mirrors: tuple[str, ...]
    names: tuple[str, ...]
    files: dict[str, tuple[int, str]]  # by name: bytes, SHA-256; packed and unpacked


COLLECTIONS = {
    "mnist": Collection(
        home="http://yann.lecun.com/exdb/mnist/",
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        names=tuple("0123456789"),
        files={
            "train-images-idx3-ubyte.gz": (9912422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
            "train-labels-idx1-ubyte.gz": (28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
            "t10k-images-idx3-ubyte.gz": (1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
            "t10k-labels-idx1-ubyte.gz": (4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
            "train-images-idx3-ubyte": (47040016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
            "train-labels-idx1-ubyte": (60008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
            "t10k-images-idx3-ubyte": (7840016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
            "t10k-labels-idx1-ubyte": (10008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
        },
    ),
    "fashion-mnist": Collection(
        home="https://github.com/zalandoresearch/fashion-mnist",
        mirrors=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
        names=("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"),
        files={
            "train-images-idx3-ubyte.gz": (
                26421880,
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            ),
            "train-labels-idx1-ubyte.gz": (29515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
            "t10k-images-idx3-ubyte.gz": (4422102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
            "t10k-labels-idx1-ubyte.gz": (5148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
            "train-images-idx3-ubyte": (47040016, "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
            "train-labels-idx1-ubyte": (60008, "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
            "t10k-images-idx3-ubyte": (7840016, "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
            "t10k-labels-idx1-ubyte": (10008, "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
        },
    ),
}
PACKED = [name for name in COLLECTIONS["mnist"].files if name.endswith(".gz")]


@dataclass(frozen=True, kw_only=True)
class IDX:
    """Load four IDX files; the validation split is held out of the 60,000 training pictures.

    `binarize="static"` draws each pixel once from a Bernoulli distribution whose probability is its value, as
    Salakhutdinov and Murray (2008) did. Larochelle's file, on which likelihoods are often published, is another
    draw of the same procedure. `"threshold"` cuts at one half. `train` keeps so many labelled training pictures,
    as many of each class; None keeps all.
    """

    folder: str
    valid: int | float = 10000
    train: int | None = None
    split_seed: int = 0
    binarize: Literal["none", "static", "threshold"] = "none"

    def load(self, root: Path) -> Splits:
        """Read, fetching what is missing; raise DataError for files that are absent or not the official ones."""
        if self.folder not in COLLECTIONS:
            raise ConfigError(f"no known IDX files for folder {self.folder!r}: choose from {', '.join(COLLECTIONS)}")
        folder = root / self.folder
        collection = COLLECTIONS[self.folder]
        _complete(folder, collection)
        whole, test = (
            Images(
                self._binarized(_read(folder, f"{part}-images-idx3-ubyte", collection, 3).unsqueeze(1)),
                _read(folder, f"{part}-labels-idx1-ubyte", collection, 1).long(),
            )
            for part in ("train", "t10k")
        )
        rest, held = hold_out(whole.y, self.valid, self.split_seed)
        train = pick(whole, rest[few(whole.y[rest], self.train, self.split_seed)])
        return Splits(train, pick(whole, held), test, image_facts(train.x) | class_facts(collection.names))

    def _binarized(self, x: Tensor) -> Tensor:
        """Return bytes of 0 and 255."""
        if self.binarize == "none":
            return x
        if self.binarize == "threshold":
            return (x > 127).to(torch.uint8) * 255
        if self.binarize == "static":
            generator = torch.Generator().manual_seed(DRAW_SEED)
            # below one of 255 equally likely values: probability x / 255, exactly
            drawn = torch.randint(0, 255, x.shape, dtype=torch.uint8, generator=generator) < x
            return drawn.to(torch.uint8) * 255
        raise ConfigError(f"binarize={self.binarize!r} is unknown: choose from none, static, threshold")


def parse(content: bytes, dimensions: int, name: str = "IDX") -> Tensor:
    """Return the uint8 array of one unpacked IDX file; raise DataError where header and length disagree."""
    header = 4 + 4 * dimensions
    if len(content) < header:
        raise DataError(f"{name} has {len(content)} bytes: the header alone takes {header}; fetch it anew")
    if content[:4] != bytes([0, 0, UNSIGNED_BYTE, dimensions]):
        raise DataError(
            f"{name} begins with {content[:4].hex()}: {dimensions}-dimensional IDX bytes begin with "
            f"0000{UNSIGNED_BYTE:02x}{dimensions:02x}; fetch it anew"
        )
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    if math.prod(shape) != len(content) - header:
        raise DataError(
            f"{name} states {' x '.join(map(str, shape))} values but holds {len(content) - header}: fetch it anew"
        )
    if math.prod(shape) == 0:
        raise DataError(f"{name} holds no values: fetch it anew")
    return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=header).reshape(shape)


def _read(folder: Path, name: str, collection: Collection, dimensions: int) -> Tensor:
    """Check size and SHA-256, packed or not, and only then unpack and parse."""
    packed = folder / f"{name}.gz"
    path = packed if packed.exists() else folder / name
    content = verified(path, *collection.files[path.name])
    return parse(gzip.decompress(content) if path == packed else content, dimensions, str(path))


def _missing(folder: Path) -> list[str]:
    return [name for name in PACKED if not ((folder / name).exists() or (folder / name.removesuffix(".gz")).exists())]


def _complete(folder: Path, collection: Collection) -> None:
    """Fetch what is missing; raise DataError that says what to put where."""
    try:
        for name in _missing(folder):
            size, sha256 = collection.files[name]
            fetch([mirror + name for mirror in collection.mirrors], folder / name, size=size, sha256=sha256)
    except DataError as error:
        missing = _missing(folder)
        raise DataError(
            f"{len(missing)} of {len(PACKED)} files are missing in {folder}: {', '.join(missing)}\n"
            f"fetching failed: {error}\n"
            f"put them there (official address: {collection.home}), or name the folder above with paths.data=DIR "
            "or DL_DATA=DIR;\nmeanwhile data=digits needs no files"
        ) from error
