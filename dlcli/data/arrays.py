"""Arrays of the user's own: a `.npz` file with x and y.

x is pictures (N, H, W) or (N, C, H, W), bytes or floats in [0, 1], or rows (N, D). y is classes (N,) as integers,
labels (N, L) as integers or booleans, or targets (N,) or (N, K) as floats. `x_valid`, `y_valid`, `x_test` and
`y_test` are the official splits if there are any; `names` are the names of the classes.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dlcli.batch import Images, Table
from dlcli.data.facts import class_facts, image_facts, table_facts, target_facts
from dlcli.data.files import locate
from dlcli.data.splits import Splits, hold_out, pick
from dlcli.errors import DataError

Arrays = Images | Table
MOST = 100_000  # classes; a larger number in y is no class
KNOWN = ("x", "y", "x_valid", "y_valid", "x_test", "y_test", "names")


@dataclass(frozen=True, kw_only=True)
class ArrayFile:
    """Load a `.npz` file; what it does not state as a split is held out of x and y."""

    path: str
    valid: int | float = 0.2
    test: int | float = 0.2
    split_seed: int = 0

    def load(self, root: Path) -> Splits:
        """Read without unpickling anything; raise DataError for arrays of another form."""
        path = locate(self.path, root)
        arrays = _read(path)
        whole = _batch(arrays, "", path)
        valid, test = (
            _batch(arrays, f"_{part}", path) if f"x_{part}" in arrays else None for part in ("valid", "test")
        )
        train = whole
        if test is None:
            train, test = self._held(train, self.test, whole.size)
        if valid is None:
            train, valid = self._held(train, self.valid, whole.size)
        facts = image_facts(train.x) if isinstance(train, Images) else table_facts(train.x)
        return Splits(train, valid, test, facts | _answers((train, valid, test), arrays, path))

    def _held(self, batch: Arrays, count_or_share: int | float, total: int) -> tuple[Arrays, Arrays]:
        """Hold out a count, or a share of the `total` that the file holds."""
        count = round(count_or_share * total) if isinstance(count_or_share, float) else count_or_share
        rest, held = hold_out(batch.y, count, self.split_seed)
        return pick(batch, rest), pick(batch, held)


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {name: file[name] for name in KNOWN if name in file}
        if strange := [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]:
            raise ValueError(f"{', '.join(strange)} is not an array")
    except Exception as error:  # a damaged archive fails in a dozen ways, and only numpy runs here
        reason = str(error).split("\n")[0] or type(error).__name__
        if "unsafely" in reason:  # numpy's advice for every file that it does not know
            reason = "it is of another kind"
        raise DataError(
            f"{path} cannot be read as .npz: {reason}; write it by np.savez(path, x=x, y=y), "
            "with arrays of numbers, not of objects"
        ) from error
    absent = [name for name in ("x", "y") if name not in arrays]
    absent += [f"y{s}" for s in ("_valid", "_test") if f"x{s}" in arrays and f"y{s}" not in arrays]
    if absent:
        raise DataError(f"{path} lacks {', '.join(absent)} (it has {', '.join(arrays) or 'none of ours'}): add them")
    return arrays


def _batch(arrays: dict[str, np.ndarray], suffix: str, path: Path) -> Arrays:
    x = _inputs(arrays[f"x{suffix}"], f"x{suffix} of {path}")
    y = _outputs(arrays[f"y{suffix}"], f"y{suffix} of {path}")
    if len(x) != len(y):
        raise DataError(f"{path} has {len(x)} rows in x{suffix} but {len(y)} in y{suffix}: they must be equal")
    return Images(x, y) if x.ndim == 4 else Table(x, y)


def _inputs(x: np.ndarray, what: str) -> Tensor:
    if x.ndim not in (2, 3, 4) or x.dtype.kind not in "buif" or x.size == 0:
        raise DataError(
            f"{what} is {x.dtype} of shape {x.shape}: "
            "numbers are needed, (N, D) for rows, (N, H, W) or (N, C, H, W) for pictures"
        )
    if x.ndim == 2:
        return _floats(x)
    if x.ndim == 4 and x.shape[1] > 4 >= x.shape[3]:
        raise DataError(
            f"{what} has the shape {x.shape}, as pictures of {x.shape[3]} channels have it where channels come last; "
            "they come first here: write x.transpose(0, 3, 1, 2)"
        )
    if x.dtype.kind in "ui" and x.dtype != np.uint8:
        raise DataError(f"{what} holds {x.dtype} pixels: store bytes (uint8, 0 to 255) or floats in [0, 1]")
    pixels = torch.from_numpy(np.ascontiguousarray(x)) if x.dtype == np.uint8 else _floats(x)
    return pixels[:, None] if x.ndim == 3 else pixels


def _floats(values: np.ndarray) -> Tensor:
    with np.errstate(over="ignore"):  # what is too large becomes infinite, which is then refused
        return torch.from_numpy(np.ascontiguousarray(values.astype(np.float32)))


def _outputs(y: np.ndarray, what: str) -> Tensor:
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim not in (1, 2) or y.dtype.kind not in "buif":
        raise DataError(
            f"{what} is {y.dtype} of shape {y.shape}: "
            "classes (N,), labels (N, L) of 0 and 1, or float targets (N,) or (N, K) are needed"
        )
    if y.dtype.kind == "f":
        return _floats(y.reshape(len(y), -1))
    return torch.from_numpy(y.astype(np.int64 if y.ndim == 1 else np.float32))


def _answers(splits: tuple[Arrays, ...], arrays: dict[str, np.ndarray], path: Path) -> dict[str, Any]:
    """Return the facts on what is predicted."""
    train = splits[0].y
    if train.is_floating_point():
        whole = arrays["y"].dtype.kind in "bui"
        return {"labels": train.shape[1]} if whole else target_facts(train)
    classes = torch.cat([split.y for split in splits])
    least, most = int(classes.min()), int(classes.max())
    names = arrays["names"].ravel().tolist() if "names" in arrays else list(range(min(most, MOST) + 1))
    if least < 0 or most < 1 or most >= MOST or len(names) <= most:
        raise DataError(
            f"{path} has classes from {least} to {most} and {len(names)} names: "
            f"classes count from 0, at least two of them and at most {MOST}, each with a name if any has one"
        )
    return class_facts([str(name) for name in names]) | {"notes": _gaps(classes, names)}


def _gaps(classes: Tensor, names: list[Any]) -> list[str]:
    """Say which classes have no example: the numbers may have gaps that are not meant."""
    empty = [str(names[c]) for c in (classes.bincount(minlength=len(names)) == 0).nonzero().flatten().tolist()]
    shown = ", ".join(empty[:5]) + (", ..." if len(empty) > 5 else "")
    return [f"classes without an example: {shown} ({len(empty)} of {len(names)})"] if empty else []
