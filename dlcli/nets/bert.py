"""BERT: an encoder that learns a language by filling in hidden words (Devlin et al. 2019, arXiv:1810.04805).

    h = blocks(norm(word + segment + position)),   word logits = norm(gelu(W h)) E' + b
    pair logits = W tanh(W' h_1 + b') + b

A text is [CLS] a [SEP] or [CLS] a [SEP] b [SEP]; segment 0 reaches up to the first [SEP], segment 1 is what follows. E
is the embedding itself: a word is read and written with the same vector. `BertText` is the same net with a head that
names a class: it can start from a run of `Bert`.

x (B, T) int64, 0 after the end; h (B, T, D), word logits (B, T, V), pair logits (B, 2), classes (B, C).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlcli.nets.encoder import Encoder
from dlcli.nets.summary import real, summary
from dlcli.nets.text import embedding

SEPARATOR = 3  # the number of [SEP] where <pad>, <unk>, <cls>, <sep> come first
SEGMENTS = 2


class Trunk(nn.Module):
    """Read words, segments and positions."""

    def __init__(self, *, encoder: Encoder, vocab: int, separator: int = SEPARATOR, dropout: float = 0.0):
        super().__init__()
        self.separator = separator
        self.embedding = embedding(vocab, encoder.width)
        self.segment = nn.Embedding(SEGMENTS, encoder.width)
        nn.init.normal_(self.segment.weight, std=encoder.width**-0.5)
        self.norm = nn.LayerNorm(encoder.width)
        self.dropout = nn.Dropout(dropout)
        self.encoder = encoder
        self.pooler = nn.Linear(encoder.width, encoder.width)

    def read(self, x: Tensor) -> Tensor:  # (B, T) -> (B, T, D)
        """Return what each word means in its text."""
        ends = (x == self.separator).int()
        segment = (ends.cumsum(1) - ends).clamp(max=SEGMENTS - 1)  # a [SEP] belongs to what it ends
        words = self.norm(self.encoder.positions(self.embedding(x) + self.segment(segment)))
        return self.encoder.think(self.dropout(words), real(x))


class Bert(Trunk):
    """Name the hidden words, and tell whether the second sentence follows the first."""

    def __init__(self, *, encoder: Encoder, vocab: int, separator: int = SEPARATOR, dropout: float = 0.0):
        super().__init__(encoder=encoder, vocab=vocab, separator=separator, dropout=dropout)
        self.transform = nn.Sequential(nn.Linear(encoder.width, encoder.width), nn.GELU(), nn.LayerNorm(encoder.width))
        self.bias = nn.Parameter(torch.zeros(vocab))
        self.pair = nn.Linear(encoder.width, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # (B, T) -> (B, T, V), (B, 2)
        found = self.read(x)
        return self.words(found), self.follows(found)

    def words(self, found: Tensor) -> Tensor:  # (..., D) -> (..., V)
        """Return the logits of all words for some tokens: there are many, so ask for the hidden ones only."""
        return F.linear(self.transform(found), self.embedding.weight, self.bias)

    def follows(self, found: Tensor) -> Tensor:  # (B, T, D) -> (B, 2)
        """Return the logits of whether the second sentence follows the first."""
        return self.pair(self.pooler(found[:, 0]).tanh())


class BertText(Trunk):
    """Name the class of a text, from its first token (`pool=first`) or a summary of all."""

    def __init__(
        self,
        *,
        encoder: Encoder,
        vocab: int,
        classes: int,
        separator: int = SEPARATOR,
        pool: str = "first",
        dropout: float = 0.0,
    ):
        super().__init__(encoder=encoder, vocab=vocab, separator=separator, dropout=dropout)
        self.summary = summary(pool, encoder.width)
        self.head = nn.Linear(encoder.width, classes)

    def forward(self, x: Tensor) -> Tensor:  # (B, T) -> (B, classes)
        found = self.pooler(self.summary(self.read(x), real(x))).tanh()
        return self.head(self.dropout(found))
