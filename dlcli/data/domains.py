"""Two domains of pictures, to translate between them.

The class of a pair is that of its picture x. The training pictures of the two domains do not belong together; `into`
names the data whose classifiers can say what a translated picture shows.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dlcli.batch import Images, Pairs
from dlcli.data.embedded import Digits
from dlcli.data.facts import image_facts
from dlcli.data.splits import Splits, pick
from dlcli.errors import ConfigError, DataError


@dataclass(frozen=True, kw_only=True)
class Domains:
    """Put two sets of pictures of one shape side by side; the smaller one comes again and again in training."""

    first: Any
    second: Any

    def load(self, root: Path) -> Splits:
        """Load both. Raises DataError for pictures of different shapes, and for files that are absent."""
        x, y = self.first.load(root), self.second.load(root)
        shapes = [(s.facts.get("channels"), s.facts.get("height"), s.facts.get("width")) for s in (x, y)]
        if not (isinstance(x.train, Images) and isinstance(y.train, Images)) or shapes[0] != shapes[1]:
            raise DataError(f"the two domains hold {shapes[0]} and {shapes[1]}: they must be pictures of one shape")
        train, valid, test = (
            beside(a, b, longest=name == "train")
            for name, a, b in (("train", x.train, y.train), ("valid", x.valid, y.valid), ("test", x.test, y.test))
        )
        return Splits(train, valid, test, x.facts | pair_facts(y.train.x))


@dataclass(frozen=True, kw_only=True)
class Outlines:
    """Beside outlines of handwritten digits lay digits; those of the validation and test split belong together.

    An outline is bright where the digit changes: the largest minus the smallest of the 3 x 3 pixels around. In training
    every second digit gives an outline, the others stay digits, so that no pair is known.
    """

    size: int = 28
    split_seed: int = 0

    def load(self, root: Path) -> Splits:
        """Make both domains; `root` is not needed. Raises ConfigError."""
        if self.size < 8:
            raise ConfigError(f"size={self.size}: digits have at least 8 pixels along a side")
        whole: Any = Digits(size=self.size, split_seed=self.split_seed).load(root)
        mixed = torch.randperm(whole.train.size, generator=torch.Generator().manual_seed(self.split_seed))
        halves = [pick(whole.train, rows) for rows in mixed.chunk(2)]
        train = beside(drawn(halves[0]), halves[1], longest=False)
        valid, test = (Pairs(outline(split.x), split.y, split.x) for split in (whole.valid, whole.test))
        return Splits(train, valid, test, whole.facts | image_facts(train.x) | pair_facts(train.other))


def beside(a: Images, b: Images, longest: bool) -> Pairs:
    """Return pictures of two sets as pairs: as many as the longer one has, or the shorter one."""
    count = max(a.size, b.size) if longest else min(a.size, b.size)
    rows = torch.arange(count)
    return Pairs(a.x[rows % a.size], a.y[rows % a.size], b.x[rows % b.size])


def pair_facts(other: Tensor) -> dict[str, Any]:
    """State mean and standard deviation of the training pictures of the other domain."""
    facts = image_facts(other)
    return {"kind": "pairs", "other_mean": facts["mean"], "other_std": facts["std"]}


def drawn(digits: Images) -> Images:
    """Return digits as outlines."""
    return Images(outline(digits.x), digits.y)


def outline(x: Tensor) -> Tensor:
    """Return where pictures change, bytes (N, C, H, W)."""
    pixels = x.float()
    largest, smallest = F.max_pool2d(pixels, 3, 1, 1), -F.max_pool2d(-pixels, 3, 1, 1)
    return (largest - smallest).to(torch.uint8)
