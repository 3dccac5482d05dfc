"""Masked language model: hide some words of a text and learn to name them (Devlin et al. 2019, arXiv:1810.04805).

    loss = -mean over hidden t of log p(x_t | text with holes)  -  mean of log p(does b follow a | text with holes)

`share` of the words of each text is chosen (15 %, at least one); of these 80 % become <mask>, 10 % another word, 10 %
stay as they are: so the net must know what every word means in its place. Training hides others at each step;
evaluation hides what a hash of the text says, so that scores repeat whatever the batches are.

The net gives `read` (B, T) -> (B, T, D), `words` (..., D) -> (..., V) and `follows` (B, T, D) -> (B, 2); x (B, T) holds
[CLS] a [SEP] b [SEP], y (B,) is 1 where b follows a in the source. In nats. A sample fills the holes of a prompt.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlcli.errors import ConfigError
from dlcli.losses import single
from dlcli.model import Model
from dlcli.models.speech import Speech
from dlcli.samplers import as_text, refuse_label, refuse_writing
from dlcli.text import tabled
from dlcli.tokens import SPECIAL

HOLE = SPECIAL.index("<mask>") - 2  # <bos> and <eos> are not there
ORDINARY = HOLE + 1  # the first token that is a word
SHOWN = 8  # texts in a table
SALTS, BLOCK = 3, 1024  # of `hashed`; no two salts may meet, however long a text is
EVEN, ODD, SALT = 0x9E3779B97F4A7C15 - 2**64, 0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64


class MaskedLanguage(Model):
    """Learn to fill the holes of texts and, of pairs, whether the second sentence follows the first."""

    talks = True
    asks = "sampler=text 'sampler.prompt=\"the <mask> of the expression\"'"
    usual = 5  # words for each hole
    rising = Model.rising | {"next_accuracy"}

    def __init__(
        self,
        *,
        net: nn.Module,
        vocab: int,
        vocabulary: str | None = None,
        share: float = 0.15,
        masked: float = 0.8,
        changed: float = 0.1,
        pairs: bool = True,
    ):
        super().__init__()
        if not 0 < share < 1 or masked + changed > 1:
            raise ConfigError(
                f"share={share}, masked={masked}, changed={changed}: the first lies "
                "between 0 and 1, the others add up to 1 at most"
            )
        self.vocab, self.pairs = vocab, pairs
        self.net: Any = net
        self.share, self.masked, self.changed = share, masked, changed
        self.speech = Speech(vocabulary)
        self.hole, self.ordinary = HOLE, ORDINARY
        if (known := self.speech.vocabulary) is not None:
            if known.mask is None:
                raise ConfigError("the vocabulary of the data has no <mask>, which hides words; use data=sentences")
            self.hole = known.mask
            self.ordinary = sum(token in SPECIAL for token in known.tokens)

    def hide(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return texts with holes (B, T), and which words are asked for, (B, T) bool."""
        words = x >= self.ordinary
        rank = self.noise(x, 0).masked_fill(~words, 2.0).argsort(1).argsort(1)
        count = (self.share * words.sum(1, keepdim=True)).round().clamp(min=1)
        chosen = (rank < count) & words
        kind, other = self.noise(x, 1), self.ordinary + (self.noise(x, 2) * (self.vocab - self.ordinary)).long()
        holed = torch.where(kind < self.masked, self.hole, torch.where(kind < self.masked + self.changed, other, x))
        return torch.where(chosen, holed, x), chosen

    def noise(self, x: Tensor, salt: int) -> Tensor:
        """Return numbers in [0, 1) for each token: random ones in training, else a function of the text."""
        return torch.rand(x.shape, device=x.device) if self.training else hashed(x, salt)

    def losses(self, batch: Any) -> dict[str, Tensor]:
        """Return what the net says of the hidden words, (N, V), which they are, (N,) and (B, T), and of the pairs."""
        holed, chosen = self.hide(batch.x)
        found = self.net.read(holed)
        return {
            "logits": single(self.net.words(found[chosen])),
            "truth": batch.x[chosen],
            "chosen": chosen,
            "found": found,
        }

    def loss(self, batch: Any) -> Tensor:
        said = self.losses(batch)
        loss = F.cross_entropy(said["logits"], said["truth"])
        return loss + F.cross_entropy(self.net.follows(said["found"]), batch.y) if self.pairs else loss

    def measure(self, batch: Any) -> dict[str, Tensor]:
        said = self.losses(batch)
        row = said["chosen"].nonzero()[:, 0]  # of which text each hidden word is
        zeros = said["found"].new_zeros(batch.size, dtype=torch.float)
        nats = F.cross_entropy(said["logits"].float(), said["truth"], reduction="none")
        hits = (said["logits"].argmax(1) == said["truth"]).float()
        count = said["chosen"].sum(1)
        nats, hits = zeros.index_add(0, row, nats), zeros.index_add(0, row, hits)
        found = {"nats": nats, "hits": hits, "count": count, "loss": nats / count.clamp(min=1)}
        if self.pairs:
            pairs = self.net.follows(said["found"]).float()
            found["pair_loss"] = F.cross_entropy(pairs, batch.y, reduction="none")
            found["next"] = pairs.argmax(1) == batch.y
            found["loss"] = found["loss"] + found["pair_loss"]
        return found

    def score(self, measured: dict[str, Tensor]) -> dict[str, float]:
        sums = {name: values.double().sum().item() for name, values in measured.items()}
        count, texts = max(1.0, sums["count"]), len(measured["count"])
        nats = sums["nats"] / count
        scores = {"loss": nats, "perplexity": math.exp(min(nats, 700.0)), "accuracy": sums["hits"] / count}
        if self.pairs:
            scores |= {"loss": nats + sums["pair_loss"] / texts, "next_accuracy": sums["next"] / texts}
        return scores

    def show(self, batch: Any) -> dict[str, Tensor | str]:
        x = batch.x[:SHOWN]
        holed, chosen = self.hide(x)
        guess = torch.where(chosen, self.net.words(self.net.read(holed)).argmax(-1), x)
        rows = [self.row(*lines) for lines in zip(holed, chosen, guess, x, strict=True)]
        return {"holes": "\n".join(["| text with holes | named | hidden |", "|--|--|--|", *rows])}

    def row(self, holed: Tensor, chosen: Tensor, guess: Tensor, truth: Tensor) -> str:
        """Return a row of a table in Markdown: the text, and the words that stand, or stood, in its holes."""
        parts = (holed, guess[chosen], truth[chosen])
        return tabled(" ".join(self.speech.labels(part)) for part in parts)

    def embed(self, batch: Any) -> Tensor:
        return self.net.read(batch.x)[:, 0]

    def sample(self, n: int, sampler: Any) -> Any:
        """Return a line for each <mask> of the prompt: the `n` likeliest words, with their probabilities."""
        refuse_label(sampler, self)
        asked, known = as_text(sampler), self.speech.vocabulary
        refuse_writing(asked, "holes are filled by the likeliest words")
        parts = asked.given().split("<mask>")
        if known is None or len(parts) < 2:
            raise ConfigError("sampler.prompt: a text with holes is needed, such as 'the <mask> of the expression'")
        inside = [token for part in parts for token in (self.hole, *known.encode(part))][1:]
        x = torch.tensor([[known.cls, *inside, known.sep]], device=next(self.parameters()).device)
        logits = self.net.words(self.net.read(x)[x == self.hole]).float()
        logits[:, known.specials] = -math.inf
        shares, words = logits.softmax(1).topk(min(n, self.vocab - len(known.specials)))
        pairs = zip(words.tolist(), shares.tolist(), strict=True)
        return [", ".join(f"{known.tokens[w]} {p:.1%}" for w, p in zip(*pair, strict=True)) for pair in pairs]

    def remarks(self, sampler: Any) -> list[str]:
        """Say which words of the prompt the net does not know."""
        return self.speech.remarks(as_text(sampler).given().split("<mask>"))


def hashed(x: Tensor, salt: int) -> Tensor:
    """Return numbers in [0, 1) for the tokens of (B, T) that depend on their text, place and `salt` alone.

    What fills a text up does not count. The mixing is that of SplitMix64 (Steele, Lea & Flood 2014); its products
    overflow on purpose.
    """
    place = torch.arange(1, x.shape[1] + 1, device=x.device)
    text = (x * (place * EVEN | 1)).sum(1, keepdim=True)
    own = place + BLOCK * (salt + (SALTS - 1) * ((place - 1) // BLOCK))  # blocks of all salts take turns
    z = text + own * SALT
    z = (z ^ (z >> 30 & 2**34 - 1)) * ODD
    z = (z ^ (z >> 27 & 2**37 - 1)) * SALT
    z = z ^ (z >> 31 & 2**33 - 1)
    return (z & 2**24 - 1) / 2**24
