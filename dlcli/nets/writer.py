"""Recurrent language models: tell the next token from a state that has read all tokens before.

Mikolov et al. 2010 (Interspeech); over characters: Karpathy 2015, Sutskever, Martens & Hinton 2011. From a class to a
text (vector to sequence): the state starts as a learned vector of the class, as in Vinyals et al. 2015
(arXiv:1411.4555), where it is a picture.

    e_t = E[x_t];  h_t, state = cell(e_t, state);  logits_t = h_t W' + b

x (B, T), e (B, T, D), h (B, T, H), logits (B, T, V), y (B,) class. B batch, T time, V vocabulary, D and H widths.
"""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from dlcli.errors import ConfigError
from dlcli.nets.recurrent import Recurrent


class OneHot(nn.Module):
    """Turn tokens into unit vectors: the table of embeddings is then the first layer of what reads them."""

    def __init__(self, *, vocab: int):
        super().__init__()
        self.vocab = vocab

    def forward(self, x: Tensor) -> Tensor:  # (B, T) -> (B, T, V)
        return F.one_hot(x, self.vocab).float()


class Writer(nn.Module):
    """Return logits of the token after each token, and the state after the last; `embedding=0` reads unit vectors.

    `tied` reads the table of embeddings backwards at the end, which needs an embedding as wide as the state.
    """

    def __init__(
        self,
        *,
        vocab: int,
        cell: str = "lstm",
        embedding: int = 64,
        width: int = 256,
        depth: int = 1,
        dropout: float = 0.0,
        tied: bool = False,
        fused: bool = True,
        skip: int = 0,
    ):
        super().__init__()
        if tied and embedding != width:
            raise ConfigError(f"tied needs an embedding as wide as the state: embedding={embedding}, width={width}")
        self.embedding = nn.Embedding(vocab, embedding) if embedding else OneHot(vocab=vocab)
        self.dropout = nn.Dropout(dropout)
        self.recurrent = Recurrent(
            cell=cell, inputs=embedding or vocab, width=width, depth=depth, dropout=dropout, fused=fused, skip=skip
        )
        self.output = nn.Linear(width, vocab)
        if tied and isinstance(self.embedding, nn.Embedding):
            self.output.weight = self.embedding.weight

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:  # (B, T) -> (B, T, V)
        outputs, state = self.recurrent(self.dropout(self.embedding(x)), state)
        return self.output(self.dropout(outputs)), state

    def gates(self, x: Tensor) -> dict[str, Tensor]:  # (B, T) -> (B, T, H) each
        """Return what the gates of the last layer let through."""
        return self.recurrent.gates(self.embedding(x))

    def start(self, rows: int) -> Any:
        """Return the state before the first token of so many texts."""
        return self.recurrent.start(rows)


class ClassWriter(Writer):
    """Write a text of a class: its vector is where the state starts, and is read beside every token."""

    def __init__(self, *, classes: int, vocab: int, embedding: int = 32, width: int = 128, **options: Any):
        super().__init__(vocab=vocab, embedding=embedding, width=width, **options)
        self.classes = nn.Embedding(classes, self.recurrent.depth * width)
        self.kind = nn.Embedding(classes, embedding or vocab)

    def forward(self, x: Tensor, state: Any = None, y: Tensor | None = None) -> tuple[Tensor, Any]:
        assert y is not None
        if state is None:
            state = self.begin(y)
        inputs = self.embedding(x) + self.kind(y)[:, None]  # (B, T, D)
        outputs, state = self.recurrent(self.dropout(inputs), state)
        return self.output(self.dropout(outputs)), state

    def begin(self, y: Tensor) -> Any:
        """Return the state in which a text of each class starts."""
        first = self.classes(y).view(len(y), self.recurrent.depth, -1).transpose(0, 1).contiguous()  # (L, B, H)
        zeros = self.recurrent.start(len(y))
        return first if isinstance(zeros, Tensor) else (first, *zeros[1:])
