"""Three parts of one data set, how they are cut, and what must hold before the first step.

The cut depends on a seed of the source (`split_seed`), never on the seed of the run: runs of different seeds
are compared on the same test set.
"""

from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from dlcli.batch import IGNORED, Images, Masks, Pairs, Signals, Table, Tokens, Translations
from dlcli.data.album import Album
from dlcli.data.crops import Crops
from dlcli.data.prose import Prose
from dlcli.data.randomness import scramble
from dlcli.errors import DataError

# how a split rests in memory, or in files
Rest = Images | Masks | Pairs | Signals | Table | Tokens | Translations | Prose | Album | Crops
RESAMPLED = 2  # a word of its own in the hash, so that shuffling and resampling are independent
MIXED = 3  # the seed of an order that no setting changes

Kind = TypeVar("Kind", bound=Rest)


class Splits(NamedTuple):
    """What a source loads: three parts at rest, and the facts that models may ask for."""

    train: Rest
    valid: Rest
    test: Rest
    facts: dict[str, Any]


def hold_out(y: Tensor, count_or_share: int | float, seed: int) -> tuple[Tensor, Tensor]:
    """Return sorted indices of (rest, held), every class in proportion where `y` holds classes.

    `count_or_share` is a number of examples (int) or a share of them in (0, 1) (float). Each class keeps at
    least one example in the rest, which is what is trained on. Raises DataError where that cannot be.
    """
    count = _count(len(y), count_or_share)
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
    if y.is_floating_point():
        held = order[:count]
    else:
        _, classes, sizes = y.unique(return_inverse=True, return_counts=True)
        quota = _quota(sizes, count)
        shuffled = classes[order]
        held = torch.cat([order[shuffled == c][: int(quota[c])] for c in range(len(sizes))])
    chosen = torch.zeros(len(y), dtype=torch.bool)
    chosen[held] = True
    return (~chosen).nonzero().flatten(), chosen.nonzero().flatten()


def divide(whole: Kind, valid: int | float, test: int | float, seed: int) -> tuple[Kind, Kind, Kind]:
    """Cut a whole set into (train, valid, test); shares are shares of the whole."""
    valid = _count(whole.size, valid)
    rest, test_rows = hold_out(whole.y, _count(whole.size, test), seed)
    train_rows, valid_rows = hold_out(whole.y[rest], valid, seed)
    return pick(whole, rest[train_rows]), pick(whole, rest[valid_rows]), pick(whole, test_rows)


def few(y: Tensor, count: int | None, seed: int) -> Tensor:
    """Return the sorted indices of `count` examples, classes as equal in number as they can be; None: all.

    A smaller count is a part of every larger one of the same seed. Raises DataError where there are not so many.
    """
    if count is None:
        return torch.arange(len(y))
    if not isinstance(count, int) or not 1 <= count <= len(y):
        raise DataError(
            f"cannot keep {count} of {len(y)} training examples: "
            f"data.source.train is a count from 1 to {len(y)}, or null"
        )
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
    return order[_rank(y, order)[order].argsort(stable=True)[:count]].sort().values


def mixed(split: Kind) -> Kind:
    """Return a split that lists one class after the other in a drawn order, and every other split as it is.

    Any first examples then have the classes in proportion. The draw is the same each time. Official sets come in an
    order without runs of a class, which is kept: others compare the first thousand.
    """
    if isinstance(split, Prose) or split.y.ndim != 1 or split.y.is_floating_point():
        return split
    _, classes, sizes = split.y.unique(return_inverse=True, return_counts=True)
    by_chance = (split.size - 1) * (1 - (sizes / split.size).square().sum())  # neighbours of two classes
    if (classes.diff() != 0).sum() >= by_chance / 2:
        return split
    order = torch.randperm(split.size, generator=torch.Generator().manual_seed(MIXED))
    place = (_rank(classes, order) + 0.5) / sizes[classes]  # how much of its class comes before it
    return pick(split, order[place[order].argsort(stable=True)])


def pick(batch: Kind, rows: Tensor) -> Kind:
    """Return the given rows of every field."""
    if isinstance(batch, Album | Crops | Prose):
        return batch.pick(rows)  # type: ignore[return-value]
    return type(batch)(*(field[rows] for field in batch))


def resample(split: Kind, seed: int) -> Kind:
    """Draw as many examples with replacement, about 63 % of them at least once: bagging (Breiman 1996)."""
    if isinstance(split, Prose) and split.order == "carried":
        raise DataError("bootstrap=true: a text read on from batch to batch cannot be drawn anew; set bootstrap=false")
    generator = torch.Generator().manual_seed(scramble(seed, RESAMPLED) >> 1)
    return pick(split, torch.randint(split.size, (split.size,), generator=generator))


def check(splits: Splits, classes: int | None) -> None:
    """Refuse splits that cannot be learned from: empty, ragged, not finite, out of range.

    `classes` is the number of classes, None where labels or targets are predicted. Raises DataError.
    """
    for name in ("train", "valid", "test"):
        split = getattr(splits, name)
        _check_sizes(name, split, splits.train)
        if not isinstance(split, Album):  # whose pictures are bytes
            _check_inputs(name, split)
        _check_answers(name, split.y, classes, "labels" in splits.facts and classes is None)


def _rank(classes: Tensor, order: Tensor) -> Tensor:
    """Return for each example (N,) how many of its class come before it in an order (N,)."""
    sizes = classes.unique(return_counts=True)[1]
    grouped = order[classes[order].argsort(stable=True)]
    rank = torch.empty_like(order)
    rank[grouped] = torch.arange(len(order)) - (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
    return rank


def _count(total: int, count_or_share: int | float) -> int:
    if isinstance(count_or_share, float):
        fits = 0 <= count_or_share < 1
        count = round(count_or_share * total)
    else:
        fits = 0 <= count_or_share < total
        count = count_or_share
    if not fits:
        raise DataError(
            f"cannot hold out {count_or_share} of {total} examples: give a count from 0 to {total - 1} "
            "or a share from 0.0 to below 1.0 (data.source.valid, data.source.test)"
        )
    return count


def _quota(sizes: Tensor, count: int) -> Tensor:
    """Share `count` among classes in proportion to `sizes`, by largest remainder, one of each class spared."""
    room = sizes - 1
    if count > room.sum():
        raise DataError(
            f"cannot hold out {count} of {int(sizes.sum())} examples: {len(sizes)} classes must each keep one for "
            f"training, which leaves {int(room.sum())}; hold out fewer (data.source.valid, data.source.test)"
        )
    exact = sizes.double() * count / sizes.sum()
    quota = exact.floor().long().minimum(room)
    while (left := count - int(quota.sum())) > 0:
        claim = (exact - quota).masked_fill(quota >= room, -torch.inf)
        open_classes = int((quota < room).sum())
        quota[claim.argsort(descending=True, stable=True)[: min(left, open_classes)]] += 1
    return quota


def _check_sizes(name: str, split: Rest, train: Rest) -> None:
    count = split.size
    if count != len(split.y):
        raise DataError(
            f"the {name} split has {count} examples but {len(split.y)} labels: "
            "each example needs exactly one; repair the files"
        )
    if count == 0:
        raise DataError(f"the {name} split is empty: every split needs an example; raise data.source.{name} or samples")
    if _shape(split) != _shape(train):
        raise DataError(
            f"the {name} split has examples of shape {_shape(split)}, the train split {_shape(train)}: "
            "they must agree; repair the files"
        )
    if isinstance(split, Masks) and not split.x.shape[-2:] == split.y.shape[1:] == split.w.shape[1:]:
        sizes = ", ".join(" x ".join(map(str, field.shape[-2:])) for field in split)
        raise DataError(f"the {name} split has pictures, masks and weights of {sizes} pixels: they must agree")


def _shape(split: Rest) -> tuple[int, ...]:
    return split.shape if isinstance(split, Album) else tuple(split.x.shape[1:])


def _check_inputs(name: str, split: Any) -> None:
    x = split.x
    if isinstance(split, Masks):
        _refuse(name, "weights", split.w, ~(split.w >= 0), "numbers of 0 or more", "repair the weights")
    if not x.is_floating_point():
        return  # uint8 pixels cannot be out of range
    _refuse(name, "inputs", x, ~x.isfinite(), "finite numbers", "remove or replace those examples")
    if x.ndim == 4:
        rule, cure = "in [0, 1] when they are floats", "divide them by 255, or store them as uint8"
        _refuse(name, "pixels", x, (x < 0) | (x > 1), rule, cure)


def _check_answers(name: str, y: Tensor, classes: int | None, labels: bool) -> None:
    if y.is_floating_point():
        _refuse(name, "targets", y, ~y.isfinite(), "finite numbers", "remove those examples")
        if labels:
            _refuse(name, "labels", y, (y != 0) & (y != 1), "0 or 1", "repair the labels")
    elif classes is not None:
        rule = f"from 0 to {classes - 1}, as the set states {classes} classes"
        unasked = (y == IGNORED) & (y.ndim == 2)  # tokens to which no answer belongs
        _refuse(name, "labels", y, ((y < 0) | (y >= classes)) & ~unasked, rule, "repair the labels")


def _refuse(name: str, what: str, values: Tensor, wrong: Tensor, rule: str, cure: str) -> None:
    """Raise DataError with the count and the first offender where anything is wrong."""
    if not bool(wrong.any()):
        return
    first = wrong.nonzero()[0].tolist()
    raise DataError(
        f"the {name} split has {int(wrong.sum())} of {wrong.numel()} {what} outside the rule, first "
        f"{values[tuple(first)].item():g} at example {first[0]}: they must be {rule}; {cure}"
    )
