"""Recurrent encoder and decoder: one net reads a text, another one writes what it means.

Sutskever, Vinyals & Le 2014 (arXiv:1409.3215); Cho et al. 2014 (arXiv:1406.1078); Bahdanau, Cho & Bengio 2015
(arXiv:1409.0473). H (B, S, M): outputs of the encoder; s_t (B, D): state of the decoder, which starts from the last
state of the encoder; e_t: vector of the token before.

    none        s_t = g(s_(t-1), e_t)                                                        Sutskever et al.
    constant    s_t = g(s_(t-1), [e_t; c]),    c = H at its end                              Cho et al.
    attention   s_t = g(s_(t-1), [e_t; c_t]),  c_t = sum_i a_ti H_i                          Bahdanau et al.
                a_t = softmax_i f(s_(t-1), U H_i),  f additive: v . tanh(W s + k), as in the paper, or of `nets.scores`

    logits = E tanh(W [s_t; c_t; e_t]),   without c: E s_t              E (V, D) holds the tokens' vectors too

An encoder that reads one way reads backwards, so that both texts begin close to each other (Sutskever et al.).
x (B, S) and y (B, T) int64, 0 where a text has ended; logits (B, T, V).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dlcli.nets.layers import choose
from dlcli.nets.recurrent import Recurrent
from dlcli.nets.scores import SCORES
from dlcli.nets.summary import real
from dlcli.nets.text import embedding


class Additive(nn.Module):
    """Score a query and a key by a hidden layer: v . tanh(W a + b)."""

    def __init__(self, *, width: int):
        super().__init__()
        self.query, self.score = nn.Linear(width, width), nn.Linear(width, 1, bias=False)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:  # (..., D), (..., D) -> (...)
        return self.score((self.query(a) + b).tanh()).squeeze(-1)


ATTENTION: dict[str, Callable[[int], nn.Module | None]] = {
    "none": lambda width: None,
    "constant": lambda width: None,
    "additive": lambda width: Additive(width=width),
    **SCORES,
}


class Source(NamedTuple):
    """What the decoder knows of the source."""

    outputs: Tensor  # (B, S, M)
    keys: Tensor  # (B, S, D), U H
    mask: Tensor  # (B, S) bool, True where a token is real
    first: Any  # state in which the decoder starts, as torch has it
    end: Tensor  # (B, M), what the encoder knows at the end

    def rows(self, index: Tensor) -> "Source":
        """Return the sources of some examples, in the order of `index` (B,)."""
        first = tuple(part[:, index] for part in self.first) if isinstance(self.first, tuple) else self.first[:, index]
        return Source(self.outputs[index], self.keys[index], self.mask[index], first, self.end[index])


class Seq2Seq(nn.Module):
    """Encoder and decoder of `depth` layers; `attention` says what the decoder reads of the source.

    Without `source_vocab` both languages have one vocabulary, and a token one vector.
    """

    def __init__(
        self,
        *,
        vocab: int,
        source_vocab: int | None = None,
        width: int,
        depth: int = 1,
        cell: str = "gru",
        bidirectional: bool = True,
        attention: str = "additive",
        dropout: float = 0.0,
    ):
        super().__init__()
        memory = width * (1 + bidirectional)
        self.score = choose("attention", attention, ATTENTION)(width)
        self.reads = attention != "none"
        self.reading = None if source_vocab is None else embedding(source_vocab, width)
        self.embedding = embedding(vocab, width)
        both: dict[str, Any] = {"cell": cell, "width": width, "depth": depth, "dropout": dropout}
        self.encoder = Recurrent(inputs=width, bidirectional=bidirectional, **both)
        self.decoder = Recurrent(inputs=width + memory * self.reads, **both)
        self.bridge = nn.Linear(memory, width) if bidirectional else None
        self.key = nn.Linear(memory, width) if self.score else nn.Identity()
        self.mix = nn.Linear(2 * width + memory, width) if self.reads else None
        self.dropout = nn.Dropout(dropout)

    def encode(self, x: Tensor) -> Source:  # (B, S)
        """Read the source."""
        mask = real(x)
        lengths = mask.sum(1)
        table = self.embedding if self.reading is None else self.reading
        way = None if self.bridge else backwards(lengths, x.shape[1])
        outputs, state = self.encoder(self.dropout(table(x if way is None else x.gather(1, way))), None, lengths)
        end = self.encoder.last(state)
        if way is not None:
            outputs = outputs.gather(1, way[..., None].expand_as(outputs))
        return Source(outputs, self.key(outputs), mask, self.start(state), end)

    def start(self, state: Any) -> Any:
        """Return the decoder's first state: the encoder's last one, or what a layer makes of both directions'."""
        if isinstance(state, tuple):
            return tuple(self.start(part) for part in state)
        if self.bridge is None:
            return state
        pairs = state.unflatten(0, (-1, 2)).transpose(1, 2).flatten(2)  # (2 L, B, D) -> (L, B, 2 D)
        return self.bridge(pairs).tanh()

    def decode(self, y: Tensor, source: Source, state: Any = None) -> tuple[Tensor, Any]:  # (B, T) -> (B, T, V)
        """Return logits for the token after each of y, which goes on where `state` ended, and the new state."""
        hidden, state, _ = self.walk(y, source, state)
        return self.dropout(hidden) @ self.embedding.weight.T, state

    def attention(self, y: Tensor, source: Source) -> Tensor | None:  # (B, T) -> (B, 1, T, S)
        """Return how each token after y shares its attention in the source, of one head; None without attention."""
        return torch.stack(self.walk(y, source)[2], dim=1)[:, None] if self.score else None

    def walk(self, y: Tensor, source: Source, state: Any = None) -> tuple[Tensor, Any, list[Tensor]]:
        """Return what the logits are made of (B, T, D), the new state, and the attention at each step, (B, S) each."""
        words, shares = self.dropout(self.embedding(y)), list[Tensor]()
        state = source.first if state is None else state
        if self.score is None:
            read = source.end[:, None].expand(-1, y.shape[1], -1)
            hidden, state = self.decoder(torch.cat((words, read), dim=-1) if self.reads else words, state)
            return self.finish(hidden, read, words), state, shares
        steps, contexts = [], []
        for word in words.split(1, dim=1):  # (B, 1, D)
            shares.append(self.look(state, source))
            contexts.append(shares[-1][:, None] @ source.outputs)  # (B, 1, M)
            hidden, state = self.decoder(torch.cat((word, contexts[-1]), dim=-1), state)
            steps.append(hidden)
        return self.finish(torch.cat(steps, dim=1), torch.cat(contexts, dim=1), words), state, shares

    def look(self, state: Any, source: Source) -> Tensor:
        """Return the share of each token of the source in the attention, (B, S); rows sum to one."""
        assert self.score is not None
        query = self.decoder.last(state)[:, None]  # (B, 1, D)
        return self.score(query, source.keys).masked_fill(~source.mask, -torch.inf).softmax(1)

    def finish(self, hidden: Tensor, read: Tensor, words: Tensor) -> Tensor:
        """Return what the logits are made of, (B, T, D)."""
        return hidden if self.mix is None else self.mix(torch.cat((hidden, read, words), dim=-1)).tanh()


def backwards(lengths: Tensor, width: int) -> Tensor:
    """Return the places (B, S) that turn texts round and leave what follows their ends."""
    return (lengths[:, None] - 1 - torch.arange(width, device=lengths.device)) % width
