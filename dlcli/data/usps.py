"""USPS: 9,298 handwritten digits of 16 x 16 from envelopes, 7,291 for training and 2,007 for the test.

The file holds one row for each digit: the class, 256 pixels from -1 (white paper, shown black here, as in MNIST) to 1,
and 1 if the row belongs to the test. Hull, "A database for handwritten text recognition research", IEEE TPAMI 16(5),
1994; in the form of Hastie, Tibshirani, Friedman, "The Elements of Statistical Learning".
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dlcli.batch import Images
from dlcli.data.facts import class_facts, image_facts
from dlcli.data.files import verified
from dlcli.data.splits import Splits, few, hold_out, pick
from dlcli.errors import ConfigError, DataError

FILE = "zip.npy.npz"
SIZE, SHA256 = 2704151, "5f586dc00128d6463ad85232c8de07975ea415b11347ef677d390edddc1becab"
BOX, FRAME = 20, 28  # MNIST's digits fill 20 x 20 of its 28 x 28 pixels


@dataclass(frozen=True, kw_only=True)
class USPS:
    """Load the digits as they are (size 16), or enlarged and framed as those of MNIST (size 28).

    `valid` is held out of the training rows; `train` keeps so many of the rest, as many of each class, None all.
    """

    folder: str = "usps"
    size: Literal[16, 28] = 16
    valid: int | float = 1000
    train: int | None = None
    split_seed: int = 0

    def load(self, root: Path) -> Splits:
        """Read and cut; raise DataError for a file that is absent or another one."""
        if self.size not in (16, FRAME):
            raise ConfigError(f"size={self.size}: USPS comes in 16 (as published) or {FRAME} (framed as MNIST)")
        path = root / self.folder / FILE
        if not path.is_file():
            raise DataError(
                f"no {path}: put it there (the zip code data of hastie.su.domains/ElemStatLearn as a NumPy file), or "
                "name the folder above with paths.data=DIR or DL_DATA=DIR; meanwhile data=digits needs no files"
            )
        with np.load(io.BytesIO(verified(path, SIZE, SHA256)), allow_pickle=False) as file:
            rows = torch.from_numpy(file["arr_0"])  # (N, 258)
        digits = Images(self._framed(rows[:, 1:257].view(-1, 1, 16, 16)), rows[:, 0].long())
        tested = rows[:, 257] == 1
        whole, test = (pick(digits, chosen.nonzero().flatten()) for chosen in (~tested, tested))
        rest, held = hold_out(whole.y, self.valid, self.split_seed)
        train = pick(whole, rest[few(whole.y[rest], self.train, self.split_seed)])
        facts = image_facts(train.x) | class_facts([str(digit) for digit in range(10)])
        return Splits(train, pick(whole, held), test, facts)

    def _framed(self, x: Tensor) -> Tensor:
        """Return pixels in [-1, 1] as bytes, (N, 1, 16, 16) -> (N, 1, size, size)."""
        x = (x + 1) * (255 / 2)
        if self.size == FRAME:
            x = F.interpolate(x, size=(BOX, BOX), mode="bilinear", align_corners=False)
            x = F.pad(x, [(FRAME - BOX) // 2] * 4)
        return x.round().clamp(0, 255).to(torch.uint8)
