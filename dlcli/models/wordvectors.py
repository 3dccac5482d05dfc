"""Word vectors: words that keep the same company get vectors that lie near each other.

Each rule says how near two places of a text are; the pairs of a text are then a matrix (T, T), and the vectors of all
its words meet in one product of matrices. A pair never reaches across a mark such as <sep>, and what is no word takes
no part. x (B, T) tokens; vectors (V, D); nats or squares per pair.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from dlcli import analogies
from dlcli.batch import PAD, Translations
from dlcli.errors import ConfigError
from dlcli.model import Clock, Model, Update
from dlcli.models.speech import Speech
from dlcli.samplers import as_text, refuse_label, refuse_writing
from dlcli.text import tabled

ROOM = 2**24  # numbers that say of some tokens how they go with each other, or with all words
LEAST = 1e-9  # weight by which costs are divided: texts without pairs then cost nothing
OFTEN, SHOWN, BESIDE = 200, 20, 6  # frequent words, how many of them are shown, and their neighbours


class WordVectors(Model):
    """Learn from which words stand within `window` words of each other; a rule adds `pairs` and `near`."""

    talks = True
    usual = 10  # words nearest to the prompt
    asks = "sampler=text sampler.prompt=WORD"
    local = frozenset({"seen"})
    ordinary: Tensor  # (V,) which tokens are words
    marks: Tensor  # (V,) which tokens end a text
    seen: Tensor  # (V,) how often each was met in training

    def __init__(self, *, net: nn.Module, vocab: int, vocabulary: str | None = None, window: int = 5):
        super().__init__()
        if window < 1:
            raise ConfigError(f"window={window}: a word needs company, on each side 1 word or more")
        self.net: Any = net
        self.window, self.speech = window, Speech(vocabulary)
        known = self.speech.vocabulary
        if known is not None and known.level != "words":
            raise ConfigError(f"vectors of {known.level} mean nothing: use data.source.level=words, or data=sentences")
        if known is not None and len(known.specials) == len(known):
            raise ConfigError("the vocabulary has no words: take a smaller data.source.least")
        special = torch.zeros(vocab, dtype=torch.bool)
        special[[PAD] if known is None else known.specials] = True
        marks = special.clone()
        if known is not None and known.unknown is not None:
            marks[known.unknown] = False  # a word after all, though nobody knows which
        self.register_buffer("ordinary", ~special, persistent=False)
        self.register_buffer("marks", marks, persistent=False)
        self.register_buffer("seen", torch.zeros(vocab))

    def near(self, distance: Tensor) -> Tensor:
        """Return how much a pair of words counts at each distance within the window."""
        raise NotImplementedError

    def pairs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the pairs of each text cost, and how much they count, (B,) each."""
        raise NotImplementedError

    def vectors(self) -> Tensor:
        """Return the vector of every word, (V, D)."""
        return self.net.embedding.weight

    def company(self, x: Tensor) -> Tensor:
        """Return how much each place of a text belongs to the company of each other one, (B, T, T)."""
        place = torch.arange(x.shape[1], device=x.device)
        distance = (place[:, None] - place).abs()
        near = self.near(distance.clamp(min=1).float()) * ((distance > 0) & (distance <= self.window))
        word, part = self.ordinary[x], self.marks[x].cumsum(1)
        return near * (word[:, :, None] & word[:, None] & (part[:, :, None] == part[:, None]))

    def count(self, x: Tensor) -> None:
        """Take notice of the words of a batch."""
        self.seen += x.flatten().bincount(minlength=len(self.seen)) * self.ordinary

    def counts(self, batch: Any) -> Tensor | int:
        return self.company(words(batch)).sum()  # pairs; what is frequent, or has its full weight, counts less

    def loss(self, batch: Any) -> Tensor:
        costs, counted = self.pairs(words(batch))
        return costs.sum() / counted.sum().clamp(min=LEAST)

    def updates(self, batch: Any, clock: Clock) -> Iterator[Update]:
        self.count(words(batch))
        yield Update(self.loss(batch))

    def measure(self, batch: Any) -> dict[str, Tensor]:
        x = words(batch)
        at_once = ROOM // (x.shape[1] * max(x.shape[1], len(self.seen)))  # texts
        parts = [self.pairs(rows) for rows in x.split(max(1, at_once))]
        costs, counted = (torch.cat(column) for column in zip(*parts, strict=True))
        return {"loss": costs / counted.clamp(min=LEAST), "costs": costs, "counted": counted}

    def score(self, measured: dict[str, Tensor]) -> dict[str, float]:
        costs, counted = (measured[name].double().sum() for name in ("costs", "counted"))
        return {"loss": (costs / counted.clamp(min=LEAST)).item()}

    def show(self, batch: Any) -> dict[str, Tensor | str]:
        """Return a table of frequent words, evenly spread, and those nearest to them."""
        known = self.speech.vocabulary
        often = self.seen.argsort(descending=True, stable=True)[: min(OFTEN, int((self.seen > 0).sum()))]
        if known is None or not len(often):
            return {}
        vectors = self.vectors().detach()
        lines = []
        for number in often[:: max(1, len(often) // SHOWN)][:SHOWN].tolist():
            found, _ = analogies.nearest(vectors, vectors[number], [number, *known.specials], BESIDE)
            lines.append(tabled(known.tokens[word] for word in (number, *found)))
        return {"neighbours": "\n".join([f"| word {'| ' * BESIDE}|", f"|{'--|' * (BESIDE + 1)}", *lines])}

    def embed(self, batch: Any) -> Tensor:
        """Return the mean vector of the words of each text, (B, D)."""
        x = words(batch)
        word = self.ordinary[x].float()
        return (word[:, None] @ self.vectors()[x])[:, 0] / word.sum(1, keepdim=True).clamp(min=1)

    @torch.no_grad()
    def sample(self, n: int, sampler: Any) -> Any:
        """Return the `n` words nearest to what the prompt makes of words: king - man + woman."""
        refuse_label(sampler, self)
        asked, known = as_text(sampler), self.speech.vocabulary
        refuse_writing(asked, "the nearest words are told")
        if known is None or not asked.given().strip():
            raise ConfigError(
                "sampler.prompt is empty: name a word, or words joined by + and -: dl sample sampler=text "
                "'sampler.prompt=\"king - man + woman\"'"
            )
        terms = analogies.terms(asked.given(), known)
        lengthened = nn.functional.normalize(self.vectors())
        target = torch.stack([sign * lengthened[number] for sign, number in terms]).sum(0)
        without = [number for _, number in terms] + known.specials
        found = analogies.nearest(self.vectors(), target, without, n)
        return [f"{known.tokens[word]} {value:.3f}" for word, value in zip(*found, strict=True)]


def words(batch: Any) -> Tensor:
    """Return the tokens (B, T) to learn from: of pairs to translate, the translation."""
    return batch.y if isinstance(batch, Translations) else batch.x
