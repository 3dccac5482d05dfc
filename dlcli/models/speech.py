"""How a rule speaks the language of its tokens; where it knows no vocabulary, it counts.

A vocabulary comes as the state that a data set states (`dlcli.tokens`), and is missing only where shapes are looked at.
Tokens (T,), PAD after the end of a text.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from dlcli.batch import PAD
from dlcli.errors import ConfigError
from dlcli.models.bleu import bleu
from dlcli.tokens import Vocabulary, words

UNKNOWN = "⁇"  # stands for a word that the vocabulary has not; no translation holds it, so it never matches
SPACE = "␣"


class Speech:
    """Read and spell tokens, and know those that begin and end a text."""

    def __init__(self, state: str | None):
        self.vocabulary = None if state is None else Vocabulary.read(state)
        known = self.vocabulary
        self.begin = 1 if known is None or known.begin is None else known.begin
        self.end = 2 if known is None or known.end is None else known.end
        self.unknown = PAD if known is None or known.unknown is None else known.unknown

    @property
    def has_words(self) -> bool:
        """Whether the texts are of words, which dates and numbers are not."""
        return self.vocabulary is not None and self.vocabulary.level != "characters"

    def read(self, texts: Sequence[str]) -> Tensor:
        """Return the tokens of texts, (B, T). Raises ConfigError where there is no vocabulary to read with."""
        if self.vocabulary is None:
            raise ConfigError("sampler.prompt: the run knows no vocabulary to read it with; leave it out")
        rows = [self.vocabulary.encode(text) for text in texts]
        width = max(1, *map(len, rows))
        return torch.tensor([[*row, *[PAD] * (width - len(row))] for row in rows])

    def remarks(self, texts: Sequence[str]) -> list[str]:
        """Say what of texts the net will not know."""
        return [] if self.vocabulary is None else self.vocabulary.remarks(texts)

    def spell(self, tokens: Tensor) -> str:
        """Return the text of tokens; what the vocabulary does not know has a mark in its place."""
        numbers = tokens[tokens != PAD].tolist()
        if self.vocabulary is None:
            return " ".join(map(str, numbers))
        parts: list[list[int]] = [[]]
        for number in numbers:
            if number == self.unknown:
                parts.append([])
            else:
                parts[-1].append(number)
        return f" {UNKNOWN} ".join(self.vocabulary.decode(part) for part in parts).strip()

    def labels(self, tokens: Tensor) -> list[str]:
        """Return each token as it is written beside a picture."""
        numbers = tokens[tokens != PAD].tolist()
        if self.vocabulary is None:
            return list(map(str, numbers))
        written = [self.vocabulary.decode([number]) or self.vocabulary.tokens[number] for number in numbers]
        return [text.strip() or SPACE for text in written]


def agreement(pairs: Sequence[tuple[str, str]]) -> dict[str, float]:
    """Return how well texts agree with their references: BLEU of lower-cased words, and the share of equals."""
    guesses, truths = ([words(text.lower()) for text in side] for side in zip(*pairs, strict=True))
    return {"bleu": bleu(guesses, truths), "exact": sum(a == b for a, b in pairs) / len(pairs)}
