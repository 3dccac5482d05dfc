"""Five ways to read a text and name its class, side by side.

    summed         v = sum_t e(x_t)                 a bag of words: the same in every order
    concatenated   v = [e(x_1); ...; e(x_T)]        knows the order; one length for all, and weights for every place
    convolved      v_k = max_t ReLU(w_k . [e(x_t); ...; e(x_(t+n-1))] + b_k)   n = 3, 4, 5: Kim 2014 (arXiv:1408.5882)
    recurrent      v = the state of a recurrent net at the end, or a summary of all states
    transformer    v = a summary of what the blocks of attention make of the words and their positions

Then logits = head(v). e(x) (B, T, D) are the rows of the embedding, x (B, T) int64 the numbers of the tokens, 0 where a
text has ended; what stands there changes nothing. v (B, F), logits (B, classes). Summaries: `nets.summary`.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlcli.errors import ConfigError
from dlcli.nets.encoder import Encoder
from dlcli.nets.mlp import MLP
from dlcli.nets.recurrent import Recurrent
from dlcli.nets.summary import real, summary


def embedding(vocab: int, width: int) -> nn.Embedding:
    """Return a vector for each token, about as long as 1; token 0 fills up and learns nothing."""
    table = nn.Embedding(vocab, width, padding_idx=0)
    with torch.no_grad():
        table.weight.mul_(width**-0.5)
    return table


class SummedText(nn.Module):
    """Sum up the vectors of the tokens, whatever their order; also the frame of the routes that read before that."""

    def __init__(
        self,
        *,
        vocab: int,
        classes: int,
        width: int = 64,
        widths: Sequence[int] = (),
        pool: str = "sum",
        score: str = "dot",
        dropout: float = 0.0,
    ):
        super().__init__()
        self.embedding = embedding(vocab, width)
        self.dropout = nn.Dropout(dropout)
        self.finish(width, classes, widths, pool, score)

    def finish(self, features: int, classes: int, widths: Sequence[int], pool: str, score: str, ways: int = 1) -> None:
        """Add what stands behind the reading."""
        self.summary = summary(pool, features, score, ways)
        self.head = MLP(inputs=features, widths=widths, outputs=classes, dropout=self.dropout.p)

    def read(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return a vector for each token, (B, T, F), and which are real, (B, T)."""
        return x, mask

    def forward(self, x: Tensor) -> Tensor:  # (B, T) -> (B, classes)
        words, mask = self.read(self.dropout(self.embedding(x)), real(x))
        return self.head(self.dropout(self.summary(words, mask)))


class ConcatenatedText(nn.Module):
    """Lay the vectors of `context` tokens side by side: longer texts are cut, shorter ones filled up with zeros."""

    def __init__(
        self,
        *,
        vocab: int,
        classes: int,
        context: int,
        width: int = 32,
        widths: Sequence[int] = (64,),
        dropout: float = 0.0,
    ):
        super().__init__()
        self.context = context
        self.embedding = embedding(vocab, width)
        self.dropout = nn.Dropout(dropout)
        self.head = MLP(inputs=context * width, widths=widths, outputs=classes, dropout=dropout)

    def forward(self, x: Tensor) -> Tensor:  # (B, T) -> (B, classes)
        x = F.pad(x[:, : self.context], (0, max(0, self.context - x.shape[1])))
        words = self.embedding(x) * (x != 0)[..., None]  # (B, context, D)
        return self.head(self.dropout(words))


class ConvolvedText(nn.Module):
    """Look for phrases of a few lengths, wherever they stand: convolutions over time, and the maximum of each.

    A phrase begins at a real token; the last ones reach into zeros beyond the end.
    """

    def __init__(
        self,
        *,
        vocab: int,
        classes: int,
        width: int = 64,
        kernels: Sequence[int] = (3, 4, 5),
        channels: int = 100,
        dropout: float = 0.5,
    ):
        super().__init__()
        if not kernels or min(kernels) < 1:
            raise ConfigError(f"kernels={list(kernels)}: give the lengths of one or more phrases, each at least 1")
        self.kernels = list(kernels)
        self.embedding = embedding(vocab, width)
        self.phrases = nn.ModuleList(nn.Conv1d(width, channels, kernel) for kernel in kernels)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(channels * len(kernels), classes)

    def forward(self, x: Tensor) -> Tensor:  # (B, T) -> (B, classes)
        mask = real(x)[:, None]  # (B, 1, T)
        words = self.embedding(x).mT * mask  # (B, D, T)
        found = [
            (phrase(F.pad(words, (0, kernel - 1))).relu() * mask).amax(2)  # (B, channels)
            for kernel, phrase in zip(self.kernels, self.phrases, strict=True)
        ]
        return self.head(self.dropout(torch.cat(found, dim=1)))


class RecurrentText(SummedText):
    """Read token by token with a recurrent net, whose `cell`, `depth`, `fused` and `skip` are options.

    With `embedding=0` a word vector is as wide as the state.
    """

    def __init__(
        self,
        *,
        vocab: int,
        classes: int,
        embedding: int = 0,
        width: int = 64,
        bidirectional: bool = True,
        pool: str = "last",
        score: str = "dot",
        dropout: float = 0.0,
        **options: Any,
    ):
        inputs = embedding or width
        super().__init__(vocab=vocab, classes=classes, width=inputs, dropout=dropout)
        ways = 2 if bidirectional else 1
        self.recurrent = Recurrent(inputs=inputs, width=width, bidirectional=bidirectional, dropout=dropout, **options)
        self.finish(ways * width, classes, (), pool, score, ways)

    def read(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        return self.recurrent(x, lengths=mask.sum(1))[0], mask


class TransformerText(nn.Module):
    """Let every token look at every other one; `pool=first` reads a class token that is put in front."""

    def __init__(
        self,
        *,
        encoder: Encoder,
        vocab: int,
        classes: int,
        pool: str = "mean",
        score: str = "dot",
        dropout: float = 0.0,
    ):
        super().__init__()
        self.embedding = embedding(vocab, encoder.width)
        self.start = nn.Parameter(torch.randn(encoder.width)) if pool == "first" else None
        self.encoder = encoder
        self.summary = summary(pool, encoder.width, score)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(encoder.width, classes)

    def forward(self, x: Tensor) -> Tensor:  # (B, T) -> (B, classes)
        words, mask = self.embedding(x) * self.encoder.width**0.5, real(x)
        if self.start is not None:
            words = torch.cat((self.start.expand(len(x), 1, -1), words), dim=1)  # (B, 1 + T, D)
            mask = F.pad(mask, (1, 0), value=True)
        return self.head(self.dropout(self.summary(self.encoder(self.dropout(words), mask), mask)))


class RecurrentTags(nn.Module):
    """Name a class for each token: a recurrent net that reads from both ends, and a linear layer at every step."""

    def __init__(
        self,
        *,
        vocab: int,
        classes: int,
        width: int = 64,
        bidirectional: bool = True,
        dropout: float = 0.0,
        **options: Any,
    ):
        super().__init__()
        self.embedding = embedding(vocab, width)
        self.recurrent = Recurrent(inputs=width, width=width, bidirectional=bidirectional, dropout=dropout, **options)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.recurrent.outputs, classes)

    def forward(self, x: Tensor) -> Tensor:  # (B, T) -> (B, T, classes)
        states, _ = self.recurrent(self.dropout(self.embedding(x)), lengths=real(x).sum(1))
        return self.head(self.dropout(states))
