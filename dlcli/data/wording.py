"""How texts become rows of numbers: by a vocabulary that is learned from the training part, or by that of a run."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from dlcli import jsonfile
from dlcli.batch import PAD
from dlcli.errors import DataError
from dlcli.text import printable
from dlcli.tokens import Vocabulary

PIECE = 2**20  # characters that are turned into numbers at once


@dataclass(frozen=True, kw_only=True)
class Wording:
    """What a token is, and how many kinds of them there are."""

    level: Literal["characters", "words", "subwords", "wordpieces"] = "words"
    size: int | None = None
    least: int = 1
    lower: bool = False
    vocabulary: str | None = None  # a saved one, or the folder of the run that has it

    def learned(self, texts: Iterable[str], special: Sequence[str], root: Path) -> Vocabulary:
        """Return the vocabulary of texts, or the one that was given. Raises DataError, ConfigError."""
        if self.vocabulary:
            return given(self.vocabulary, root)
        return Vocabulary.learn(
            texts, level=self.level, size=self.size, least=self.least, special=special, lower=self.lower
        )


def given(source: str, root: Path, fact: str = "vocabulary") -> Vocabulary:
    """Return a saved vocabulary: what a config holds of it, or the run whose data has this fact.

    Raises DataError, RunError.
    """
    return Vocabulary.read(source if source.startswith("{") else recorded(source, root, fact)[fact])


def recorded(source: str, root: Path, fact: str) -> dict[str, Any]:
    """Return what a run says of its data, a fact of which is the state of a vocabulary. Raises DataError."""
    folder = next((place for place in (Path(source).expanduser(), root / source) if place.is_dir()), None)
    try:
        record = jsonfile.read(folder / "run.json") if folder else {}
    except (OSError, ValueError) as error:
        raise DataError(f"data.source.{fact}={printable(source)}: no run with a record ({error})") from error
    config = record.get("config")
    data = config.get("data") if isinstance(config, dict) else None
    state = data.get(fact) if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(state, str):
        words = fact.replace("_", " ")
        raise DataError(f"data.source.{fact}={printable(source)}: no folder of a run that learned a {words}")
    return data


def numbered(vocabulary: Vocabulary, text: str) -> Tensor:
    """Return a long text as numbers (N,), a piece at a time: a list of them takes eight times the memory."""
    rows = [torch.tensor(vocabulary.encode(piece), dtype=torch.int32) for piece in _pieces(text)]
    return torch.cat(rows) if rows else torch.zeros(0, dtype=torch.int32)


def padded(rows: Sequence[Sequence[int]], width: int) -> Tensor:
    """Return rows of numbers as one table (N, width), PAD behind each of them."""
    return torch.tensor([[*row, *[PAD] * (width - len(row))] for row in rows], dtype=torch.int32).view(-1, width)


def _pieces(text: str) -> Iterator[str]:
    """Cut a text where a line ends, else between words, else anywhere."""
    start = 0
    while start < len(text):
        end = len(text)
        if end - start > PIECE:
            within = (start, start + PIECE)
            end = (text.rfind("\n", *within) + 1) or max(text.rfind(" ", *within), 0) or start + PIECE
            end = end if end > start else start + PIECE
        yield text[start:end]
        start = end
