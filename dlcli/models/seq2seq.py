"""Sequence to sequence: read a text in one language, write it in another one, token by token.

    loss = -1/N sum_bt log p(y_bt | y_b,<t, x_b)        N tokens of all y, the first excepted; PAD never counts

With teacher forcing the net is told the true tokens before t. A share `teacher` below one, which may change along the
run from its first to its second value, lets it read its own guess now and then (scheduled sampling: Bengio et al. 2015,
arXiv:1506.03099). Label smoothing: Szegedy et al. 2016. Nobody tells it anything when it translates: the likeliest next
token (greedy), or the `beam` likeliest beginnings are kept, where a finished one of T tokens is judged by

    log p(y | x) / ((5 + T) / 6)^penalty                                  (Wu et al. 2016, arXiv:1609.08144)

The net has `encode(x) -> source`, `decode(y, source, state=None) -> logits, state` and `attention(y, source)`, which is
None or (B, H, T, S), and the source has `rows(index)`. x (B, S), y (B, T) from BEGIN to END, logits (B, T, V), H heads.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlcli import figures
from dlcli.batch import PAD
from dlcli.decoding import beam
from dlcli.errors import ConfigError
from dlcli.model import Clock, Model, Update
from dlcli.models.bleu import sacre
from dlcli.models.speech import Speech, agreement
from dlcli.samplers import as_text, refuse_label
from dlcli.text import tabled

ROWS = 100  # examples whose logits are in memory at once when measured; so many of each batch are translated meanwhile
SHOWN, DRAWN = 20, 4  # translations in the report; matrices of attention
PIXELS = 6  # of a cell of attention in TensorBoard


class Seq2Seq(Model):
    """Learn to translate with any net that encodes a source and decodes a target."""

    talks = True
    usual = 8
    rising = Model.rising | {"greedy_bleu", "greedy_exact"}
    local = frozenset({"heard"})
    net: Any
    heard: Tensor  # (usual, S), sources of the training, to translate where nobody gives one

    def __init__(
        self,
        *,
        net: nn.Module,
        context: int,
        source_context: int,
        vocabulary: str | None = None,
        source_vocabulary: str | None = None,
        smoothing: float = 0.0,
        teacher: Sequence[float] = (1.0, 1.0),
        beam: int = 5,
        penalty: float = 0.6,
    ):
        super().__init__()
        if len(teacher) != 2 or not all(0 <= share <= 1 for share in teacher):
            raise ConfigError(f"teacher={list(teacher)}: shares in [0, 1] at the start and the end, such as [1.0, 0.5]")
        if beam < 1:
            raise ConfigError(f"beam={beam}: at least 1 beginning must be kept; beam=1 takes the likeliest token")
        if net.reading is None and vocabulary != source_vocabulary:
            raise ConfigError(
                "model.net.source_vocab=null: source and target have vocabularies of their own, and a net with one "
                "table of vectors would mix them up; use data.source.joint=true, or leave model.net.source_vocab alone"
            )
        self.net, self.context, self.source_context = net, context, source_context
        self.target, self.source = Speech(vocabulary), Speech(source_vocabulary)
        self.smoothing, self.teacher, self.beam, self.penalty = smoothing, tuple(teacher), beam, penalty
        self.register_buffer("heard", torch.zeros(self.usual, source_context, dtype=torch.long))

    def updates(self, batch: Any, clock: Clock) -> Iterator[Update]:
        if clock.step == 0:
            some = batch.x[: self.usual]
            self.heard[: len(some), : some.shape[1]] = some
        first, last = self.teacher
        yield Update(self.loss(batch, first + (last - first) * clock.progress))

    def loss(self, batch: Any, teacher: float = 1.0) -> Tensor:
        source, given, wanted = self.net.encode(batch.x), batch.y[:, :-1], batch.y[:, 1:]
        logits = self.net.decode(given, source)[0] if teacher == 1 else self.led(given, source, teacher)
        return F.cross_entropy(
            logits.flatten(0, 1).float(), wanted.flatten(), ignore_index=PAD, label_smoothing=self.smoothing
        )

    def counts(self, batch: Any) -> Tensor | int:
        return (batch.y[:, 1:] != PAD).sum()

    def led(self, given: Tensor, source: Any, teacher: float) -> Tensor:
        """Return logits (B, T, V) where each token before is the true one with probability `teacher`, else a guess."""
        state, steps, word = None, list[Tensor](), given[:, :1]
        for t in range(1, given.shape[1] + 1):
            logits, state = self.net.decode(word, source, state)
            steps.append(logits)
            true = torch.rand(len(given), 1, device=given.device) < teacher
            word = torch.where(true, given[:, t : t + 1], logits.argmax(-1)) if t < given.shape[1] else word
        return torch.cat(steps, dim=1)

    def measure(self, batch: Any) -> dict[str, Tensor]:
        pieces = zip(batch.x.split(ROWS), batch.y.split(ROWS), strict=True)
        rows = [self.judged(x, y, translate=not i) for i, (x, y) in enumerate(pieces)]
        return {name: torch.cat([row[name] for row in rows]) for name in rows[0]}

    def judged(self, x: Tensor, y: Tensor, translate: bool) -> dict[str, Tensor]:
        """Return loss, tokens and hits of a few examples, and their greedy translations (zero if not asked for)."""
        source, wanted = self.net.encode(x), y[:, 1:]
        logits, real = self.net.decode(y[:, :-1], source)[0].float(), wanted != PAD
        errors = F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="none").view_as(real) * real
        tokens = real.sum(1)
        return {
            "loss": errors.sum(1) / tokens.clamp(min=1),
            "tokens": tokens,
            "hits": ((logits.argmax(-1) == wanted) & real).sum(1),
            "x": widened(x, self.source_context),
            "y": widened(y, self.context),
            "guess": widened(self.translate(x, 1) if translate else wanted[:, :0], self.context),
        }

    def score(self, measured: dict[str, Tensor]) -> dict[str, float]:
        tokens = measured["tokens"].double()
        loss = (measured["loss"].double() * tokens).sum() / tokens.sum()
        done = measured["guess"][:, 0] != PAD  # a translation has an END at least
        pairs = self.pairs(measured["guess"][done], measured["y"][done])
        return {
            "loss": loss.item(),
            "perplexity": loss.exp().item(),
            "accuracy": (measured["hits"].sum() / tokens.sum()).item(),
            **{f"greedy_{name}": value for name, value in agreement(pairs).items()},
        }

    def report(self, measured: dict[str, Tensor]) -> dict[str, Any]:
        x, y = measured["x"], measured["y"]
        parts = [self.translate(some.to(self.heard.device), self.beam).cpu() for some in x.split(ROWS)]
        guesses = torch.cat([widened(part, self.context) for part in parts])
        pairs = self.pairs(guesses, y)
        told = [
            {"source": self.source.spell(row), "translation": guess, "reference": truth}
            for row, (guess, truth) in zip(x[:SHOWN], pairs, strict=False)
        ]
        found = {"beam": self.beam, "length_penalty": self.penalty, **agreement(pairs), "translations": told}
        if self.target.has_words and self.target.vocabulary is not None:
            found |= sacre(pairs, self.target.vocabulary.lower)
        drawn = self.alignments(x[:DRAWN], guesses[:DRAWN])
        return {**found, **({"attention": drawn} if drawn else {})}

    def pairs(self, guesses: Tensor, truths: Tensor) -> list[tuple[str, str]]:
        """Return the texts of translations and references, (N, T) each."""
        return [(self.target.spell(guess), self.target.spell(y)) for guess, y in zip(guesses, truths, strict=True)]

    @torch.no_grad()
    def translate(self, x: Tensor, width: int, length: int | None = None) -> Tensor:
        """Return the best translation that a beam of this width finds, (B, T), PAD after its END; width 1: greedy."""
        source = self.net.encode(x)
        wide = source.rows(torch.arange(len(x), device=x.device).repeat_interleave(width))
        never = torch.tensor([PAD, self.target.begin, self.target.unknown], device=x.device)

        def step(tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
            logits, state = self.net.decode(tokens, wide, state)
            return logits.index_fill(-1, never, -torch.inf), state

        most = self.context - 1  # BEGIN is given
        length = min(length or most, most)
        found = beam(step, None, self.begin(x), self.target.end, width, length, self.penalty)[0][:, 0]
        ended = found == self.target.end
        return found.masked_fill(ended.cumsum(1) - ended.long() > 0, PAD)

    def begin(self, x: Tensor) -> Tensor:
        """Return the first token of each translation, (B,)."""
        return torch.full((len(x),), self.target.begin, device=x.device)

    @torch.no_grad()
    def looks(self, x: Tensor, y: Tensor) -> Tensor | None:
        """Return how the net attends to the sources while it writes y (B, T), (B, H, T, S); None without attention."""
        x, y = x.to(self.heard.device), y.to(self.heard.device)
        given = torch.cat((self.begin(x)[:, None], y[:, :-1]), dim=1)
        return self.net.attention(given, self.net.encode(x))

    def alignments(self, x: Tensor, guesses: Tensor) -> Any:
        """Return the figure of which source tokens each token of the translations looked at; None without attention."""
        weights = self.looks(x, guesses)
        if weights is None:
            return None
        shown = []
        for share, source, guess in zip(weights, x, guesses, strict=True):
            across, down = self.source.labels(source), self.target.labels(guess)
            shown.append(figures.Alignment(share[:, : len(down), : len(across)], across, down))
        return figures.alignments("where each token of the translation (rows) looks in the source", shown)

    def show(self, batch: Any) -> dict[str, Tensor | str]:
        guesses = self.translate(batch.x, 1)
        sources = [self.source.spell(x) for x in batch.x]
        rows = [[source, *pair] for source, pair in zip(sources, self.pairs(guesses, batch.y), strict=True)]
        head = "| source | translation (greedy) | reference |\n|--|--|--|"
        table = "\n".join([head, *map(tabled, rows)])
        weights = self.looks(batch.x[:DRAWN], guesses[:DRAWN])
        if weights is None:
            return {"translations": table}
        large = weights.repeat_interleave(PIXELS, 2).repeat_interleave(PIXELS, 3)  # (B, H, T, S)
        below = F.pad(large, (0, 0, 0, PIXELS), value=1.0).flatten(1, 2)[:, :-PIXELS]  # a white line between the heads
        return {"translations": table, "attention": below[:, None]}

    def sample(self, n: int, sampler: Any) -> Any:
        """Return a list: the lines of a prompt translated, or `n` sources of the training with their translations."""
        refuse_label(sampler, self)
        asked = as_text(sampler)
        if asked.altered:
            raise ConfigError(
                "a translation is searched, not drawn: leave out sampler.temperature, top_k, top_p and repetition; "
                "sampler.beam=1 takes the likeliest token"
            )
        given = [line for line in asked.given().split("\n") if line.strip()]
        x = self.source.read(given).to(self.heard.device) if given else self.heard[self.heard.any(1)][:n]
        width = asked.beam or self.beam
        parts = [self.translate(some, width, asked.length) for some in x.split(ROWS)]
        guesses = torch.cat([widened(part, self.context) for part in parts])
        written = [self.target.spell(guess) for guess in guesses]
        sources = [self.source.spell(row) for row in x]
        return written if given else [f"{one} -> {two}" for one, two in zip(sources, written, strict=True)]

    def remarks(self, sampler: Any) -> list[str]:
        """Say which words of the prompt the net does not know."""
        return self.source.remarks(as_text(sampler).given().split("\n"))


def widened(tokens: Tensor, width: int) -> Tensor:
    """Fill up tokens (B, T) with PAD, so that those of all batches are as wide."""
    return F.pad(tokens, (0, width - tokens.shape[1]), value=PAD)
