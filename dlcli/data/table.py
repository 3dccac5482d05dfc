"""A table of the user's own: named columns, one of which is to be predicted from the others.

Columns of numbers are features as they are; a column of texts becomes one feature for each category, in sorted
order, 1 where the row has it. A missing number becomes the mean of its column over the training rows, and a
further feature says 1 where it was missing; a missing text is a category of its own. Empty columns are left out.
N rows, D features.
"""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from dlcli.batch import Table
from dlcli.data.columns import Columns, numbers, read
from dlcli.data.facts import class_facts, table_facts, target_facts
from dlcli.data.files import locate
from dlcli.data.splits import Splits, divide
from dlcli.errors import ConfigError, DataError

FEW = 20  # whole numbers with no more distinct values are classes when the task is left open
MANY = 1000  # more categories than this are names or free text, not categories


@dataclass(frozen=True, kw_only=True)
class TableFile:
    """Load a CSV or Parquet file; predict column `target` as a class or as a value.

    With `task="auto"` texts, and whole numbers of at most 20 distinct values, are classes. Columns in `drop` are
    left out. What was decided, filled in or dropped is said in `facts["notes"]`.
    """

    path: str
    target: str
    task: Literal["auto", "class", "value"] = "auto"
    valid: int | float = 0.2
    test: int | float = 0.2
    split_seed: int = 0
    drop: Sequence[str] = ()

    def load(self, root: Path) -> Splits:
        """Read, encode and cut; raise DataError for a table that cannot be learned from."""
        columns = read(locate(self.path, root))
        for name in (self.target, *self.drop):
            _demand(name, columns)
        notes: list[str] = []
        columns = _with_target(columns, self.target, notes)
        y, names = self._answers(columns[self.target], notes)
        inputs = {name: cells for name, cells in columns.items() if name not in (self.target, *self.drop)}
        inputs = _with_values(inputs, notes)
        if not inputs:
            raise DataError(f"{self.path} has no column besides the target {self.target!r}: features are needed")
        x, features = _encode(inputs)
        parts = divide(Table(x, y), self.valid, self.test, self.split_seed)
        train, valid, test = _filled(parts, features, notes)
        answers = class_facts(names) if names else target_facts(train.y)
        facts = table_facts(train.x, _with_flags(features, x)) | answers | {"notes": notes}
        return Splits(train, valid, test, facts)

    def _answers(self, cells: list[Any], notes: list[str]) -> tuple[Tensor, list[str]]:
        """Return classes (N,) and their names, or values (N, 1) and no names."""
        distinct = set(cells)
        if len(distinct) < 2:
            raise DataError(
                f"target {self.target!r} has the one value {cells[0]!r} in all {len(cells)} rows: "
                "there is nothing to predict; choose another column by data.source.target=NAME"
            )
        values = numbers(cells)
        task = self._task(values, len(distinct))
        if task == "value":
            if values is None:
                raise DataError(f"target {self.target!r} holds texts: task=value needs numbers; set task=class")
            notes.append(f"target {self.target!r} is a value (task=class makes it {len(distinct)} classes)")
            return torch.tensor(values, dtype=torch.float64).float()[:, None], []
        names = [str(cell) for cell in cells] if values is None else [_plain(value) for value in values]
        order = sorted(set(names)) if values is None else [_plain(value) for value in sorted(set(values))]
        _refuse_many(f"target {self.target!r}", order, "choose another target, or task=value for numbers")
        index = {name: c for c, name in enumerate(order)}
        notes.append(f"target {self.target!r} is one of {len(order)} classes")
        return torch.tensor([index[name] for name in names]), order

    def _task(self, values: list[float] | None, distinct: int) -> str:
        if self.task not in ("auto", "class", "value"):
            raise ConfigError(f"task={self.task!r} is unknown: choose from auto, class, value")
        if self.task != "auto":
            return self.task
        whole = values is None or (distinct <= FEW and all(value.is_integer() for value in values))
        return "class" if whole else "value"


def _plain(value: float) -> str:
    return str(int(value)) if value.is_integer() else str(value)


def _demand(name: str, columns: Columns) -> None:
    if name not in columns:
        near = difflib.get_close_matches(name, columns, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else "data.source.target and drop name columns."
        raise DataError(f"no column {name!r}: {hint} The table has {', '.join(columns)}")


def _with_target(columns: Columns, target: str, notes: list[str]) -> Columns:
    """Leave out rows without an answer."""
    kept = [cell is not None for cell in columns[target]]
    if all(kept):
        return columns
    notes.append(f"{kept.count(False)} of {len(kept)} rows dropped: no {target!r}")
    if not any(kept):
        raise DataError(f"target {target!r} is missing in all {len(kept)} rows: choose another column")
    return {name: [c for c, keep in zip(cells, kept, strict=True) if keep] for name, cells in columns.items()}


def _with_values(columns: Columns, notes: list[str]) -> Columns:
    """Leave out columns that are empty."""
    empty = [name for name, cells in columns.items() if all(cell is None for cell in cells)]
    notes.extend(f"column {name!r} left out: it has no value in any row" for name in empty)
    return {name: cells for name, cells in columns.items() if name not in empty}


def _encode(columns: Columns) -> tuple[Tensor, list[str]]:
    """Return features (N, D), NaN where a number is missing, and their names."""
    features: dict[str, Iterable[float]] = {}
    for name, cells in columns.items():
        values = numbers(cells)
        if values is not None:
            features[name] = values
            continue
        texts = ["missing" if cell is None else str(cell) for cell in cells]
        categories = sorted(set(texts))
        _refuse_many(f"column {name!r}", categories, f"leave it out by data.source.drop=[{name}]")
        features |= {f"{name}={category}": [float(t == category) for t in texts] for category in categories}
    x = torch.tensor(list(features.values()), dtype=torch.float64).T  # (N, D)
    return x.float().contiguous(), list(features)


def _refuse_many(what: str, categories: Sequence[Any], cure: str) -> None:
    if len(categories) > MANY:
        raise DataError(
            f"{what} holds {len(categories)} different texts, such as {categories[0]!r}: "
            f"at most {MANY} can be categories; {cure}, or write numbers with a decimal point"
        )


def _filled(parts: Sequence[Table], features: Sequence[str], notes: list[str]) -> list[Table]:
    """Put the training mean where numbers are missing, and append a column that tells where."""
    gaps = torch.stack([part.x.isnan().any(0) for part in parts]).any(0)  # (D,)
    mean = parts[0].x.double().nanmean(0).nan_to_num(0).float()  # 0 where no training row has a value
    for d in gaps.nonzero().flatten().tolist():
        count = sum(int(part.x[:, d].isnan().sum()) for part in parts)
        notes.append(f"{features[d]!r}: {count} missing values became the training mean {mean[d].item():.4g}")
    return [
        Table(torch.cat([part.x.where(~part.x.isnan(), mean), part.x[:, gaps].isnan().float()], 1), part.y)
        for part in parts
    ]


def _with_flags(features: Sequence[str], x: Tensor) -> list[str]:
    gaps = x.isnan().any(0).tolist()
    return [*features, *(f"{name} missing" for name, gap in zip(features, gaps, strict=True) if gap)]
