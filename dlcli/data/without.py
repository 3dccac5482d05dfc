"""Classes that a training never sees, so that it can be asked what it makes of strangers: they stay in the test split.

A run that has learned all classes but one finds that class odd, or does not: anomaly detection (docs/codes.md).
"""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import torch

from dlcli.batch import Images, Pairs, Signals, Table, Tokens
from dlcli.data.album import Album
from dlcli.data.facts import image_facts, signal_facts, table_facts
from dlcli.data.splits import Splits, pick
from dlcli.errors import ConfigError, DataError

MOST = 40  # names in an error
# from the inputs alone
MEASURED: dict[type, Any] = {Images: image_facts, Pairs: image_facts, Signals: signal_facts, Table: table_facts}


def leave_out(splits: Splits, classes: Sequence[Any]) -> Splits:
    """Return splits whose training and validation part have no example of these classes, named or numbered.

    Means and deviations are taken anew, except those of pictures that stay in their files. Raises ConfigError for a
    class that is unknown, and if none is left; DataError if the ones that are left have no example.
    """
    if not classes:
        return splits
    classless = "classes" not in splits.facts
    if classless or splits.train.y.ndim != 1 or splits.train.y.is_floating_point():
        raise ConfigError(f"without={list(classes)}: these data do not name one class for each example; set without=[]")
    names = [str(name) for name in splits.facts.get("names") or range(splits.facts["classes"])]
    out = torch.tensor(sorted(numbers(names, classes)))
    kept = [pick(split, (~torch.isin(split.y, out)).nonzero().flatten()) for split in (splits.train, splits.valid)]
    for name, split in zip(("training", "validation"), kept, strict=True):
        if split.size == 0:
            raise DataError(f"without={list(classes)}: the {name} split has no example of the other classes; keep more")
    train, valid = kept
    facts = {} if isinstance(train, Album | Tokens) else MEASURED[type(train)](train.x)
    return Splits(train, valid, splits.test, splits.facts | facts)


def numbers(names: list[str], classes: Sequence[Any]) -> set[int]:
    """Return the numbers of classes that are given by name or by number. Raises ConfigError."""
    known = {str(number): number for number in range(len(names))}
    known |= {name: number for number, name in enumerate(names)}  # a name says more than a number
    for word in map(str, classes):
        if word not in known:
            near = get_close_matches(word, names, 1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise ConfigError(f"without={word}: no such class; {hint}classes: {', '.join(names[:MOST])}")
    found = {known[str(word)] for word in classes}
    if len(found) == len(names):
        raise ConfigError(
            f"without={list(classes)}: every class is left out; keep at least one of {', '.join(names[:MOST])}"
        )
    return found
