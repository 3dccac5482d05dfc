"""Pairs of sentences for BERT: [CLS] a [SEP] b [SEP], where b follows a in its text, or is any other sentence.

Half of the pairs each, drawn by `split_seed` (Devlin, Chang, Lee, Toutanova 2019, arXiv:1810.04805). Of a pair that is
too long the longer sentence loses its end. Each text is cut where it is: eight tenths train, one validates, one tests.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch

from dlcli.batch import Tokens
from dlcli.data.facts import class_facts, token_facts
from dlcli.data.files import locate
from dlcli.data.labelled import sentiments
from dlcli.data.multi30k import sentences as captions
from dlcli.data.reader import gathered
from dlcli.data.running import shakespeare
from dlcli.data.splits import Splits
from dlcli.data.topics import prose
from dlcli.data.wording import Wording, padded
from dlcli.errors import ConfigError, DataError
from dlcli.tokens import WORD, Vocabulary

SPECIAL = ("<pad>", "<unk>", "<cls>", "<sep>", "<mask>")
END = re.compile(r"(?:(?<=[.!?])|(?<=[.!?][\"')]))\s+(?=[\"'(]*[A-Z])")  # where one sentence ends and another begins
SHARE = 0.1  # of the sentences, for validation, and for the test

Pair = tuple[str, str, int]  # two sentences, and 1 if the second follows the first


@dataclass(frozen=True, kw_only=True)
class Sentences(Wording):
    """Load pairs of sentences from texts: topics, shakespeare, sst2, multi30k, or a file or folder of the user's."""

    texts: Sequence[str] = ("topics",)
    longest: int = 64
    shortest: int = 3
    split_seed: int = 0

    def load(self, root: Path) -> Splits:
        """Read, cut and pair; raise DataError where there are no sentences."""
        if self.longest < 8 or not self.texts:
            raise ConfigError(
                f"longest={self.longest}, texts={list(self.texts)}: eight tokens or more of one text or more"
            )
        notes: list[str] = []
        draw = random.Random(self.split_seed)
        parts: tuple[list[Pair], ...] = ([], [], [])
        for name in self.texts:
            found = [s for s in self._read(name, root, notes) if len(WORD.findall(s)) >= self.shortest]
            if len(found) < 60:
                raise DataError(f"data.source.texts: {name} has {len(found)} sentences; at least 60 are needed")
            held = round(SHARE * len(found))
            cuts = (found[: -2 * held], found[-2 * held : -held], found[-held:])
            for part, piece in zip(parts, cuts, strict=True):
                part += paired(piece, draw)
        vocabulary = self.learned([text for pair in parts[0] for text in pair[:2]], SPECIAL, root)
        train, valid, test = (self._table(part, vocabulary) for part in parts)
        facts = token_facts(vocabulary, self.longest) | class_facts(["random", "next"])
        return Splits(train, valid, test, facts | {"notes": notes})

    def _read(self, name: str, root: Path, notes: list[str]) -> list[str]:
        """Return the sentences of a text in their order."""
        if name == "topics":
            return sentences("\n\n".join(paragraph for paragraph in prose(0).split("\n\n") if plain(paragraph)))
        if name == "shakespeare":
            return sentences(shakespeare(root / "tinyshakespeare"))
        if name == "sst2":
            return list(sentiments(root / "sst2", "train")[0])
        if name == "multi30k":
            return captions(root / "multi30k", "train", "en")
        folder = Path(name).expanduser().is_dir() or (root / name).is_dir()
        return sentences(gathered(locate(name, root, folder=folder), notes))

    def _table(self, pairs: Sequence[Pair], vocabulary: Vocabulary) -> Tokens:
        if lacking := [token for token in SPECIAL if token not in vocabulary.table]:
            raise DataError(f"data.source.vocabulary: it has no {' '.join(lacking)}, which pairs of sentences need")
        start, mark = vocabulary.table["<cls>"], vocabulary.table["<sep>"]
        rows = []
        for one, two, _ in pairs:
            first, second = fitted(vocabulary.encode(one), vocabulary.encode(two), self.longest - 3)
            rows.append([start, *first, mark, *second, mark])
        return Tokens(padded(rows, self.longest), torch.tensor([follows for *_, follows in pairs]))


def sentences(text: str) -> list[str]:
    """Cut a text into sentences; an empty line ends one as well."""
    paragraphs = (" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
    return [sentence for paragraph in paragraphs for sentence in END.split(paragraph) if sentence]


def plain(paragraph: str) -> bool:
    """Tell whether a paragraph is prose: no grammar, no code, no underlined title."""
    rows = paragraph.strip("\n").split("\n")
    return not (rows[0].startswith("   ") or "::=" in paragraph or rows[-1][:3] in ("***", "===", "---"))


def paired(found: Sequence[str], draw: random.Random) -> list[Pair]:
    """Put behind each sentence the one that follows it, or with the same probability any but that."""
    pairs = []
    for place, (one, two) in enumerate(pairwise(found)):
        if draw.random() < 0.5:
            pairs.append((one, two, 1))
        else:
            other = (place + 1 + draw.randrange(1, len(found))) % len(found)
            pairs.append((one, found[other], 0))
    return pairs


def fitted(one: list[int], two: list[int], room: int) -> tuple[list[int], list[int]]:
    """Take tokens off the end of the longer row until both have room."""
    first = max(room - len(two), min(len(one), (room + 1) // 2))
    first = min(len(one), first)
    return one[:first], two[: room - first]
