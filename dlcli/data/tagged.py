"""Sentences of the user's with a tag for each word: parts of speech, names of persons and places.

The form is that of the CoNLL tasks (Tjong Kim Sang & De Meulder 2003): a word and its tags on each line, between tabs
or spaces, and an empty line behind each sentence; lines that begin with # or -DOCSTART- say nothing. The tag of a word
that falls into several tokens stands at the first of them, as in BERT; nothing is asked of the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import torch

from dlcli.batch import IGNORED, Tokens
from dlcli.data.facts import class_facts, token_facts
from dlcli.data.files import locate
from dlcli.data.reader import lines
from dlcli.data.splits import Splits, divide
from dlcli.data.wording import Wording
from dlcli.errors import ConfigError, DataError
from dlcli.text import printable
from dlcli.tokens import Vocabulary

SPECIAL = ("<pad>", "<unk>")
SAYS_NOTHING = ("#", "-DOCSTART-")
MOST = 1000  # tags

Sentence = list[tuple[str, str]]  # words and their tags


@dataclass(frozen=True, kw_only=True)
class Tagged(Wording):
    """Load a file with a tagged word on each line; `word` and `tag` are columns, from 0 on, or from the end by -1."""

    path: str
    word: int = 0
    tag: int = -1
    longest: int | None = 128
    valid: int | float = 0.1
    test: int | float = 0.1
    split_seed: int = 0

    def load(self, root: Path) -> Splits:
        """Read and cut; raise DataError for lines that lack a word or a tag."""
        if self.longest is not None and self.longest < 1:
            raise ConfigError(f"longest={self.longest}: one token or more, or null")
        notes: list[str] = []
        path = locate(self.path, root)
        found = sentences(path, self.word, self.tag, notes)
        names = sorted({tag for sentence in found for _, tag in sentence})
        if not 2 <= len(names) <= MOST:
            raise DataError(f"{printable(path)}: {len(names)} tags; there must be 2 to {MOST} different ones")
        rows = torch.arange(len(found))
        parts = [
            [found[row] for row in part.x.tolist()]
            for part in divide(Tokens(rows, torch.zeros_like(rows)), self.valid, self.test, self.split_seed)
        ]
        known = self.learned([word for sentence in parts[0] for word, _ in sentence], SPECIAL, root)
        if lacking := [token for token in SPECIAL if token not in known.table]:
            raise DataError(f"data.source.vocabulary: it has no {' '.join(lacking)}, which tagged words need")
        pairs = [[numbered(sentence, known, names) for sentence in part] for part in parts]
        over = sum(self.longest is not None and len(x) > self.longest for part in pairs for x, _ in part)
        notes += [f"{over:,} of {len(found):,} sentences cut to {self.longest} tokens"] if over else []
        width = max(len(x[: self.longest]) for part in pairs for x, _ in part)
        train, valid, test = (table(part, width) for part in pairs)
        facts = token_facts(known, width) | class_facts(names) | {"each": True, "notes": notes}
        facts.pop("labels", None)  # one sigmoid for a whole text is no answer to each of its words
        return Splits(train, valid, test, facts)


def sentences(path: Path, word: int, tag: int, notes: list[str]) -> list[Sentence]:
    """Return the tagged sentences of a file. Raises DataError with the line that has too few columns."""
    rows = enumerate(lines(path, notes), 1)
    found = []
    for ends, group in groupby(rows, key=lambda row: not row[1].strip()):
        if ends:
            continue
        sentence = []
        for number, line in group:
            if line.startswith(SAYS_NOTHING):
                continue
            cells = line.split("\t") if "\t" in line else line.split()
            try:
                pair = cells[word].strip(), cells[tag].strip()
            except IndexError:
                pair = "", ""
            if len(cells) < 2 or not all(pair):
                raise DataError(
                    f"{printable(path)}, line {number}: {len(cells)} columns, and no word in column {word} with a tag "
                    f"in column {tag}; write both, or name the columns with data.source.word and data.source.tag"
                )
            sentence.append(pair)
        if sentence:
            found.append(sentence)
    if len(found) < 3:
        raise DataError(f"{printable(path)}: {len(found)} sentences; three or more, with an empty line between them")
    return found


def numbered(sentence: Sentence, known: Vocabulary, names: Sequence[str]) -> tuple[list[int], list[int]]:
    """Return the tokens of a sentence and their tags, IGNORED behind the first token of a word."""
    x, y = [], []
    for word, tag in sentence:
        tokens = known.encode(word) or [known.table["<unk>"]]
        x += tokens
        y += [names.index(tag), *[IGNORED] * (len(tokens) - 1)]
    return x, y


def table(pairs: Sequence[tuple[list[int], list[int]]], width: int) -> Tokens:
    """Return sentences and tags as tables (N, width), cut or filled up."""
    x = torch.zeros(len(pairs), width, dtype=torch.int32)
    y = torch.full((len(pairs), width), IGNORED, dtype=torch.int32)
    for row, pair in enumerate(pairs):
        for column, numbers in zip((x, y), pair, strict=True):
            column[row, : len(numbers[:width])] = torch.tensor(numbers[:width], dtype=torch.int32)
    return Tokens(x, y)
