"""Word vectors of a text file, from which an embedding starts.

The file is what GloVe and word2vec write: a word and its numbers on each line, a space between them; word2vec puts the
two counts in front. Of a large file only the words that the vocabulary has are kept. A word that is found only in lower
case gets that vector; one that is not found keeps what it had.
"""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dlcli.errors import ConfigError, DataError
from dlcli.text import printable
from dlcli.tokens import SPECIAL, Vocabulary

LINE = 2**17  # bytes of a line
WIDEST = 10_000  # numbers of a vector


def start(model: nn.Module, values: dict[str, Any]) -> None:
    """Let the embedding of a model start from the file that `vectors` names, and say what was found."""
    if values["vectors"] is None or values["resume"]:  # a run that goes on has its own
        return
    state = values["data"].get("vocabulary")
    vocabulary = None if state is None else Vocabulary.read(state)
    if vocabulary is None or vocabulary.level != "words":
        raise ConfigError(
            f"vectors={values['vectors']}: data={values['data']['name']} has no words; use texts in words, as data=sst2"
        )
    name, table = embedding(model, len(vocabulary), f"vectors={values['vectors']}")
    path = Path(values["vectors"]).expanduser()
    found = read(path, {token.lower() for token in vocabulary.tokens} | set(vocabulary.tokens))
    width = len(next(iter(found.values()), ()))
    if width and width != table.shape[1]:
        raise ConfigError(
            f"vectors={path} has vectors of {width} numbers, the {name} of this net has {table.shape[1]}: "
            f"set its width to {width}"
        )
    print(f"{path}: vectors for {fill(table, vocabulary, found.get):,} of {len(vocabulary):,} tokens")


def embedding(model: nn.Module, tokens: int, asked: str) -> tuple[str, Tensor]:
    """Return name and weights of the first embedding with a row for each token. Raises ConfigError if there is none."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding) and module.num_embeddings >= tokens:
            return name, module.weight
    raise ConfigError(f"{asked}: this model has no embedding of {tokens} words that could start from vectors")


@torch.no_grad()
def fill(table: Tensor, vocabulary: Vocabulary, find: Callable[[str], Tensor | None]) -> int:
    """Write the vectors that are found into the rows of their words; return how many there were."""
    count = 0
    for row, token in enumerate(vocabulary.tokens):
        vector = None if token in SPECIAL else find(token)
        vector = find(token.lower()) if vector is None and token not in SPECIAL else vector
        if vector is not None:
            table[row] = vector
            count += 1
    return count


def read(path: Path, wanted: set[str]) -> dict[str, Tensor]:
    """Return the vectors of the wanted words. Raises DataError with the number of a line that is wrong."""
    found: dict[str, Tensor] = {}
    width = 0
    for number, line in lines(path):
        parts = line.rstrip().split(" ")
        if number == 1 and len(parts) == 2 and all(part.isdecimal() for part in parts):
            continue  # word2vec: how many words, how many numbers
        width = width or len(parts) - 1
        if not 1 <= width <= WIDEST or len(parts) <= width or any(map(numeric, parts[1:-width])):
            raise DataError(
                f"{path}, line {number}: {len(parts) - 1} numbers after the word, the lines before have {width}: "
                "each line is a word and as many numbers, with one space between them"
            )
        word = " ".join(parts[:-width])  # GloVe 840B has a few words with spaces
        if word in wanted and word not in found:
            found[word] = torch.tensor([number_of(part, path, number) for part in parts[-width:]])
    if not width:
        raise DataError(f"{path}: empty; each line is to be a word and its numbers")
    return found


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line. Raises DataError if it is no text file."""
    number = 0
    try:
        with path.open("rb") as file:
            while line := file.readline(LINE + 1):
                number += 1
                if len(line) > LINE:
                    raise DataError(f"{path}, line {number}: longer than {LINE:,} bytes; this is no file of vectors")
                yield number, line.decode()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); name a text file with vectors=FILE") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}, line {number}: not UTF-8; convert it, or take the text form of the vectors"
        ) from error


def numeric(part: str) -> bool:
    """Tell whether a part of a line is a number, which a word with spaces does not go on with."""
    try:
        return math.isfinite(float(part))
    except ValueError:
        return False


def number_of(part: str, path: Path, line: int) -> float:
    """Return a finite number. Raises DataError."""
    try:
        value = float(part)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or abs(value) > 1e30:
        raise DataError(f"{path}, line {line}: {printable(part)[:40]!r} is no finite number; repair or remove the line")
    return value
