"""Arithmetic with words: which word is to c as b is to a?

    d = argmax over words w other than a, b, c of cos(w, b/|b| - a/|a| + c/|c|)

(Mikolov, Yih & Zweig 2013, 3CosAdd.) vectors (V, D).
"""

import re
from collections.abc import Sequence
from difflib import get_close_matches

import torch
import torch.nn.functional as F
from torch import Tensor

from dlcli.errors import ConfigError, DataError
from dlcli.text import printable
from dlcli.tokens import Vocabulary

AT_ONCE = 1024  # questions
SIGNS = {"+": 1, "-": -1}


def nearest(vectors: Tensor, target: Tensor, without: Sequence[int], count: int) -> tuple[list[int], list[float]]:
    """Return the rows of `vectors` at the smallest angles to target (D,), leaving some out, and their cosines."""
    cosines = F.cosine_similarity(vectors.float(), target.float()[None])
    cosines[list(without)] = -torch.inf
    found = cosines.topk(min(count, len(vectors) - len(set(without))))
    return found.indices.tolist(), found.values.tolist()


def terms(text: str, vocabulary: Vocabulary) -> list[tuple[int, int]]:
    """Return sign and number of each word of a sum such as "king - man + woman". Raises ConfigError."""
    first, *rest = re.split(" ([+-]) ", " ".join(text.split()))
    pairs = [("+", first), *zip(rest[::2], rest[1::2], strict=True)]
    return [(SIGNS[sign], number(word, vocabulary)) for sign, word in pairs]


def number(word: str, vocabulary: Vocabulary) -> int:
    """Return the number of a word. Raises ConfigError if it is none, or not known."""
    spelled = word.lower() if vocabulary.lower else word
    found = vocabulary.table.get(spelled)
    if found is None or found in vocabulary.specials:
        near = get_close_matches(spelled, vocabulary.tokens, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(
            f"sampler.prompt: {printable(word)!r} is not among the {len(vocabulary):,} words of the run; {hint}"
            "words are joined by + and - with spaces around them, as in 'king - man + woman'"
        )
    return found


def questions(text: str, name: str) -> dict[str, list[list[str]]]:
    """Return the questions a b c d of each section; a line of four words each, sections begin with a colon.

    This is the form of Google's questions-words.txt. Raises DataError with the number of a line that is wrong.
    """
    found: dict[str, list[list[str]]] = {}
    section = "all"
    for place, line in enumerate(text.split("\n"), start=1):
        parts = line.split()
        if line.startswith(":"):
            section = line[1:].strip() or section
        elif len(parts) == 4:
            found.setdefault(section, []).append(parts)
        elif parts:
            raise DataError(
                f"{name}, line {place}: {len(parts)} words; a question has four, such as 'man men boy boys', "
                "and the title of a section begins with a colon"
            )
    if not found:
        raise DataError(f"{name}: no questions; each line is to have four words, such as 'man men boy boys'")
    return found


def known(asked: Sequence[Sequence[str]], vocabulary: Vocabulary) -> Tensor:
    """Return those questions whose words the vocabulary has, (Q, 4)."""
    rows = [[vocabulary.table.get(w.lower() if vocabulary.lower else w) for w in words] for words in asked]
    whole = [row for row in rows if None not in row]
    return torch.tensor(whole, dtype=torch.long).view(-1, 4)


def solved(vectors: Tensor, asked: Tensor, specials: Sequence[int]) -> Tensor:
    """Tell which questions (Q, 4) are answered right, (Q,) bool."""
    unit = F.normalize(vectors.float())
    right = []
    for a, b, c, d in (part.unbind(1) for part in asked.split(AT_ONCE)):
        cosines = (unit[b] - unit[a] + unit[c]) @ unit.T  # the length of the target does not change the order
        cosines[:, list(specials)] = -torch.inf
        for word in (a, b, c):
            cosines.scatter_(1, word[:, None], -torch.inf)
        right.append(cosines.argmax(1) == d)
    return torch.cat(right) if right else torch.zeros(0, dtype=torch.bool)
