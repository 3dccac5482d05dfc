"""Pairs of texts: sentences of one language beside their translations, to learn to write the second from the first.

The source is a row of tokens as they are; the target stands between <bos> and <eos>. Training pairs longer than
`longest` tokens on either side are left out, and counted in a note; validation and test stay whole.
S tokens of the source, T tokens of the target with its marks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dlcli.batch import Tokens, Translations
from dlcli.data.facts import token_facts
from dlcli.data.files import locate
from dlcli.data.reader import lines
from dlcli.data.splits import Splits, divide
from dlcli.data.wording import Wording, given, padded
from dlcli.errors import ConfigError, DataError
from dlcli.text import printable
from dlcli.tokens import Vocabulary

SPECIAL = ("<pad>", "<unk>", "<bos>", "<eos>")

Pair = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Parallel(Wording):
    """Bring pairs of texts into tables; with `joint`, both sides share one vocabulary."""

    longest: int | None = None
    joint: bool = False
    source_vocabulary: str | None = None

    def splits(self, parts: Sequence[Sequence[Pair]], root: Path, notes: Sequence[str] = ()) -> Splits:
        """Return the splits of three parts; the vocabularies are learned from the first."""
        if self.longest is not None and self.longest < 1:
            raise ConfigError(f"longest={self.longest}: one token or more, or null")
        sides = self._vocabularies(parts[0], root)
        rows = [[[side.encode(one) for side, one in zip(sides, pair, strict=True)] for pair in part] for part in parts]
        kept = [pair for pair in rows[0] if self.longest is None or max(map(len, pair)) <= self.longest]
        said = []
        if left := len(rows[0]) - len(kept):
            said = [f"{left:,} of {len(rows[0]):,} training pairs left out: longer than {self.longest} tokens"]
        rows[0] = kept
        widths = [max((len(pair[side]) for part in rows for pair in part), default=1) for side in (0, 1)]
        train, valid, test = (self._table(part, sides, widths) for part in rows)
        return Splits(train, valid, test, pair_facts(sides, widths) | {"notes": [*notes, *said]})

    def _vocabularies(self, pairs: Sequence[Pair], root: Path) -> tuple[Vocabulary, Vocabulary]:
        """Return the vocabulary of the sources, and that of the targets."""
        if self.joint:
            both = self.learned([text for pair in pairs for text in pair], SPECIAL, root)
            return self._fit(both), self._fit(both)
        target = self.learned([target for _, target in pairs], SPECIAL, root)
        if self.source_vocabulary:
            return self._fit(given(self.source_vocabulary, root, "source_vocabulary")), self._fit(target)
        source = Vocabulary.learn(
            [source for source, _ in pairs],
            level=self.level, size=self.size, least=self.least, special=SPECIAL, lower=self.lower,
        )  # fmt: skip
        return source, self._fit(target)

    def _fit(self, vocabulary: Vocabulary) -> Vocabulary:
        if lacking := [token for token in SPECIAL if token not in vocabulary.table]:
            raise DataError(f"data.source.vocabulary: it has no {' '.join(lacking)}, which translations need")
        return vocabulary

    def _table(self, pairs: Any, sides: tuple[Vocabulary, Vocabulary], widths: list[int]) -> Translations:
        unknown, (begin, end) = sides[0].table["<unk>"], (sides[1].table[mark] for mark in SPECIAL[2:])
        x = padded([source or [unknown] for source, _ in pairs], max(1, widths[0]))
        return Translations(x, padded([[begin, *target, end] for _, target in pairs], widths[1] + 2))


@dataclass(frozen=True, kw_only=True)
class ParallelFiles(Parallel):
    """Load pairs of the user's: one file with a tab between source and target, or two files, line by line."""

    path: str
    other: str | None = None
    valid: int | float = 0.1
    test: int | float = 0.1
    split_seed: int = 0

    def load(self, root: Path) -> Splits:
        """Read and cut; raise DataError for lines that are no pairs."""
        notes: list[str] = []
        path = locate(self.path, root)
        pairs = beside(path, locate(self.other, root), notes) if self.other else tabbed(path, notes)
        whole = [pair for pair in pairs if all(side.strip() for side in pair)]
        if empty := len(pairs) - len(whole):
            notes.append(f"{empty:,} of {len(pairs):,} pairs left out: a side of them is empty")
        rows = torch.arange(len(whole))
        parts = divide(Tokens(rows, torch.zeros_like(rows)), self.valid, self.test, self.split_seed)
        return self.splits([[whole[row] for row in part.x.tolist()] for part in parts], root, notes)


def pair_facts(sides: tuple[Vocabulary, Vocabulary], widths: Sequence[int]) -> dict[str, Any]:
    """State what targets and sources are made of; `widths` are their longest rows, without marks."""
    facts = token_facts(sides[1], widths[1] + 2) | {"kind": "translations"}
    source = token_facts(sides[0], widths[0])
    return facts | {f"source_{name}": source[name] for name in ("vocab", "vocabulary", "context")}


def tabbed(path: Path, notes: list[str]) -> list[Pair]:
    """Return the pairs of a file with one tab in each line. Raises DataError."""
    pairs = []
    for number, line in enumerate(lines(path, notes), start=1):
        sides = line.split("\t")
        if len(sides) != 2:
            raise DataError(
                f"{printable(path)}, line {number}: {len(sides) - 1} tabs; one stands between source and target"
            )
        pairs.append((sides[0], sides[1]))
    return pairs


def beside(source: Path, target: Path, notes: list[str]) -> list[Pair]:
    """Return the lines of two files as pairs. Raises DataError where one has more."""
    sides = lines(source, notes), lines(target, notes)
    if len(sides[0]) != len(sides[1]):
        raise DataError(
            f"{printable(source)} has {len(sides[0]):,} lines, {printable(target)} {len(sides[1]):,}: "
            "line by line they must belong together; repair the files"
        )
    return list(zip(*sides, strict=True))
