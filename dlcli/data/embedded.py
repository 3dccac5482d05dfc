"""The sets that come with scikit-learn: no files, no network.

Digits: 1,797 pictures of 8 x 8 (Alpaydin and Kaynak 1998); iris: 150 flowers (Fisher 1936); wine: 178 analyses
(Forina 1991); breast cancer: 569 biopsies (Street, Wolberg, Mangasarian 1993); diabetes: 442 patients (Efron,
Hastie, Johnstone, Tibshirani 2004). Each is cut 60 : 20 : 20, in proportion of its classes.
"""

from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dlcli.batch import Images, Table
from dlcli.data.facts import class_facts, image_facts, table_facts, target_facts
from dlcli.data.splits import Splits, divide
from dlcli.errors import ConfigError

SHARE = 0.2  # of validation, and of test
TABLES = ("iris", "wine", "breast_cancer", "diabetes")


@dataclass(frozen=True, kw_only=True)
class Digits:
    """Load handwritten digits, as they are (size 8) or enlarged by bilinear interpolation to `size` x `size`."""

    size: int = 28
    split_seed: int = 0

    def load(self, root: Path) -> Splits:
        """Cut the pictures, bytes in [0, 255], by `split_seed`; `root` is not needed."""
        levels, y = digits()
        x = levels * (255 / 16)
        if self.size != x.shape[-1]:
            x = F.interpolate(x, size=(self.size, self.size), mode="bilinear", align_corners=False)
        train, valid, test = divide(Images(x.round().to(torch.uint8), y), SHARE, SHARE, self.split_seed)
        return Splits(train, valid, test, image_facts(train.x) | class_facts([str(digit) for digit in range(10)]))


def digits() -> tuple[Tensor, Tensor]:
    """Return pictures (N, 1, 8, 8) of 17 levels of grey, 0 to 16, and digits (N,).

    Read from scikit-learn's own file: to import the library would add a quarter to the time of a short run.
    """
    path = distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz")
    rows = np.loadtxt(str(path), np.float32, delimiter=",")
    pixels, y = torch.from_numpy(rows).split([64, 1], dim=1)
    return pixels.reshape(-1, 1, 8, 8), y[:, 0].long()


@dataclass(frozen=True, kw_only=True)
class Bundled:
    """Load one of the tables; the numbers are in their own units, as nets normalize what they read."""

    name: Literal["iris", "wine", "breast_cancer", "diabetes"]
    split_seed: int = 0

    def load(self, root: Path) -> Splits:
        """Cut the rows by `split_seed`; `root` is not needed."""
        if self.name not in TABLES:
            raise ConfigError(f"no table {self.name!r} comes with scikit-learn: choose from {', '.join(TABLES)}")
        found = self._read()
        y = torch.from_numpy(found.target)
        regression = self.name == "diabetes"
        whole = Table(torch.from_numpy(found.data).float(), y.float()[:, None] if regression else y.long())
        train, valid, test = divide(whole, SHARE, SHARE, self.split_seed)
        answers = target_facts(train.y) if regression else class_facts([str(name) for name in found.target_names])
        return Splits(train, valid, test, table_facts(train.x, list(map(str, found.feature_names))) | answers)

    def _read(self) -> Any:
        from sklearn import datasets

        if self.name == "diabetes":  # the scaled form was scaled with its test rows
            return datasets.load_diabetes(scaled=False)
        return getattr(datasets, f"load_{self.name}")()
