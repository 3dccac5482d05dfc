"""Short texts and what they are of: sentiment of sentences, languages of names, tables of the user's own.

A text without any token becomes one <unk>. What is longer than `longest` tokens is cut behind, and counted in a note.
"""

import io
import re
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from dlcli.batch import Tokens
from dlcli.data.facts import class_facts, token_facts
from dlcli.data.files import locate, verified
from dlcli.data.reader import table, text
from dlcli.data.splits import Splits, divide
from dlcli.data.wording import Wording, padded
from dlcli.errors import ConfigError, DataError
from dlcli.text import printable

FRAMES: dict[str, tuple[str, ...]] = {"none": (), "sentence": ("<bos>", "<eos>"), "bert": ("<cls>", "<sep>")}
MOST = 1000  # classes

SENTIMENTS = ("negative", "positive")
SST2_HOME = "github.com/clairett/pytorch-sentiment-classification/tree/master/data/SST2"
SST2_FILES = {
    "train": (720_259, "ec192f833a64da08f475488a77b0d0b47db47acd0f458bd18433fc793b569920"),
    "dev": (92_057, "eddea6b39e601dd4e7a672b53cc40fdf6019fa80522f351206c24340ca5d9359"),
    "test": (188_749, "831169c7e2e429d6026e1bdbb542f33b636e3e596caad9602ebc953c205928b7"),
}

NAMES_HOME = "github.com/spro/practical-pytorch/tree/master/data/names"
NAMES_FILE = (62_733, "a7e5ef608a8b2b3b234b0784e24b0c55491cea3ab7191d75be9ec156cf694ee5")
LANGUAGE = re.compile(r"data/names/([A-Z][a-z]+)\.txt")

Part = tuple[Sequence[str], Tensor]  # texts, and their classes (N,)


@dataclass(frozen=True, kw_only=True)
class Labelled(Wording):
    """Bring texts of any length into tables, with the marks of a frame before and behind each of them."""

    longest: int | None = None
    frame: Literal["none", "sentence", "bert"] = "none"

    def splits(self, parts: Sequence[Part], names: Sequence[str], root: Path, notes: Sequence[str] = ()) -> Splits:
        """Return the splits of three parts; the vocabulary is learned from the first."""
        if self.frame not in FRAMES or (self.longest is not None and self.longest < 3):
            rule = f"frame is one of {', '.join(FRAMES)}, longest three tokens or more, or null"
            raise ConfigError(f"frame={self.frame!r}, longest={self.longest}: {rule}")
        marks = FRAMES[self.frame]
        vocabulary = self.learned(parts[0][0], ("<pad>", "<unk>", *marks), root)
        if lacking := [token for token in ("<pad>", "<unk>", *marks) if token not in vocabulary.table]:
            raise DataError(f"data.source.vocabulary: it has no {' '.join(lacking)}, which these texts need")
        room = None if self.longest is None else self.longest - len(marks)
        before, behind = ([vocabulary.table[mark] for mark in part] for part in (marks[:1], marks[1:]))
        rows = [[vocabulary.encode(found) or [vocabulary.table["<unk>"]] for found in texts] for texts, _ in parts]
        framed = [[[*before, *row[:room], *behind] for row in part] for part in rows]
        width = max((len(row) for part in framed for row in part), default=1)
        train, valid, test = (Tokens(padded(part, width), y) for part, (_, y) in zip(framed, parts, strict=True))
        cut = sum(room is not None and len(row) > room for part in rows for row in part)
        said = [f"{cut:,} of {sum(map(len, rows)):,} texts cut to {self.longest} tokens"] if cut else []
        facts = token_facts(vocabulary, width) | class_facts(names) | {"notes": [*notes, *said]}
        return Splits(train, valid, test, facts)


@dataclass(frozen=True, kw_only=True)
class Divided(Labelled):
    """Hold out a share of each class for validation and test."""

    valid: int | float = 0.1
    test: int | float = 0.1
    split_seed: int = 0

    def divided(
        self, texts: Sequence[str], y: Tensor, names: Sequence[str], root: Path, notes: Sequence[str] = ()
    ) -> Splits:
        """Return the splits of texts and their classes (N,)."""
        parts = divide(Tokens(torch.arange(len(y)), y), self.valid, self.test, self.split_seed)
        return self.splits([([texts[row] for row in part.x.tolist()], part.y) for part in parts], names, root, notes)


@dataclass(frozen=True, kw_only=True)
class SST2(Labelled):
    """Load 9,613 sentences of film reviews: Socher et al. 2013, whole sentences, two classes, official splits."""

    folder: str = "sst2"

    def load(self, root: Path) -> Splits:
        """Read and check; raise DataError for files that are absent or other ones."""
        return self.splits([sentiments(root / self.folder, part) for part in SST2_FILES], SENTIMENTS, root)


@dataclass(frozen=True, kw_only=True)
class Names(Divided):
    """Load 20,050 family names of 18 languages (Robertson 2017)."""

    level: Literal["characters", "words", "subwords", "wordpieces"] = "characters"
    folder: str = "names"

    def load(self, root: Path) -> Splits:
        """Read the archive, which is never extracted; raise DataError if it is absent or another one."""
        path = root / self.folder / "names.tar.gz"
        if not path.is_file():
            raise DataError(_absent(path, f"names.tar.gz of {NAMES_HOME}"))
        found = dict(sorted(_members(verified(path, *NAMES_FILE))))
        texts = [name for names in found.values() for name in names]
        y = torch.tensor([c for c, names in enumerate(found.values()) for _ in names])
        return self.divided(texts, y, list(found), root)


@dataclass(frozen=True, kw_only=True)
class Lines(Divided):
    """Load a CSV or TSV of the user's with a column of texts and one of labels."""

    path: str
    text: str = "text"
    label: str = "label"

    def load(self, root: Path) -> Splits:
        """Read and cut; raise DataError for rows that cannot be learned from."""
        notes: list[str] = []
        path = locate(self.path, root)
        rows = list(table(path, notes, (self.text, self.label)))
        if lacking := [number for number, (_, label) in rows if not label.strip()]:
            raise DataError(
                f"{printable(path)}, line {lacking[0]}: no {self.label}, nor in {len(lacking) - 1} more rows; "
                "every text needs a label: write them, or delete the rows"
            )
        labels = [label.strip() for _, (_, label) in rows]
        names = sorted(set(labels))
        if not 2 <= len(names) <= MOST:
            raise DataError(f"{printable(path)}: {len(names)} labels; there must be 2 to {MOST} different ones")
        y = torch.tensor([names.index(label) for label in labels])
        return self.divided([found for _, (found, _) in rows], y, names, root, notes)


def sentiments(folder: Path, part: str) -> Part:
    """Return the sentences of a part of SST-2 and their classes (N,). Raises DataError."""
    path = folder / f"{part}.tsv"
    if not path.is_file():
        raise DataError(_absent(path, f"train.tsv, dev.tsv and test.tsv of {SST2_HOME}"))
    rows = [
        row.split("\t") for row in text(verified(path, *SST2_FILES[part]), str(path), []).removesuffix("\n").split("\n")
    ]
    return [row[0] for row in rows], torch.tensor([int(row[1]) for row in rows])


def _members(content: bytes) -> list[tuple[str, list[str]]]:
    """Return languages and their names."""
    found = []
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as tar:
        for member in tar:
            match = LANGUAGE.fullmatch(member.name)
            if match and (file := tar.extractfile(member)):
                rows = text(file.read(), member.name, []).split("\n")
                found.append((match[1], [row.strip() for row in rows if row.strip()]))
    return found


def _absent(path: Path, what: str) -> str:
    return (
        f"no {path}: put {what} there, or name the folder above with paths.data=DIR or DL_DATA=DIR; "
        "meanwhile data=passages needs no files"
    )
