"""The transformer that translates: an encoder reads the source, a decoder writes the target (Vaswani et al. 2017).

    memory = encoder(x),   logits = decoder(y so far, memory) E'            arXiv:1706.03762, section 3

Encoder blocks attend to every token of the source. Decoder blocks attend to the target so far, and then to the source:
queries come from the decoder, keys and values from the encoder. The rows of E (V, D) are the tokens' vectors and the
weights of the output alike; multiplied by sqrt(D) they go in. With one vocabulary for both languages the source has the
same rows. norm=post and ReLU are the form of 2017: 512 wide, 8 heads, 2048 hidden, 6 + 6 blocks and 37,000 tokens are
63,082,496 weights, of which the paper says 65 million.

x (B, S) and y (B, T) int64, 0 where a text has ended; logits (B, T, V). D width, L blocks.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from dlcli.nets.attention import Block, Cache
from dlcli.nets.layers import choose
from dlcli.nets.positions import Positions
from dlcli.nets.summary import real
from dlcli.nets.text import embedding

LONGEST = 1024  # tokens of a text; the waves of their places are a formula, not weights
BEFORE = {"pre": True, "post": False}


class Source(NamedTuple):
    """What the decoder knows of the source."""

    outputs: Tensor  # (B, S, D)
    mask: Tensor  # (B, S) bool, True where a token is real

    def rows(self, index: Tensor) -> "Source":
        """Return the sources of some examples, in the order of `index` (B,)."""
        return Source(self.outputs[index], self.mask[index])


class Transformer(nn.Module):
    """Encoder and decoder of `depth` blocks each; without `source_vocab` both languages have one vocabulary."""

    def __init__(
        self,
        *,
        vocab: int,
        source_vocab: int | None = None,
        width: int = 512,
        heads: int = 8,
        hidden: int = 2048,
        depth: int = 6,
        dropout: float = 0.1,
        norm: str = "post",
    ):
        super().__init__()
        before = choose("norm of a block", norm, BEFORE)
        self.scale = width**0.5
        self.embedding = embedding(vocab, width)
        self.reading = None if source_vocab is None else embedding(source_vocab, width)
        self.positions = Positions(kind="sinusoidal", context=LONGEST, width=width)
        self.dropout = nn.Dropout(dropout)

        def block(cross: bool) -> Block:
            return Block(
                width=width, heads=heads, hidden=hidden, dropout=dropout, norm=norm, activation="relu", cross=cross
            )

        self.encoder = nn.ModuleList(block(cross=False) for _ in range(depth))
        self.decoder = nn.ModuleList(block(cross=True) for _ in range(depth))
        self.norms = nn.ModuleList(nn.LayerNorm(width) if before else nn.Identity() for _ in range(2))

    def embed(self, tokens: Tensor, table: nn.Module, start: int = 0) -> Tensor:  # (B, T) -> (B, T, D)
        """Return the vectors of tokens with their places, the first of which is `start`."""
        return self.dropout(self.positions(self.scale * table(tokens), start))

    def encode(self, x: Tensor) -> Source:  # (B, S)
        """Read the source."""
        mask = real(x)
        hidden = self.embed(x, self.embedding if self.reading is None else self.reading)
        for block in self.encoder:
            hidden = block(hidden, mask)
        return Source(self.norms[0](hidden), mask)

    def decode(
        self, y: Tensor, source: Source, state: Sequence[Cache] | None = None
    ) -> tuple[Tensor, list[Cache]]:  # (B, T) -> (B, T, V)
        """Return logits for the token after each of y, which goes on where `state` ended, and the new state."""
        caches = [Cache() for _ in self.decoder] if state is None else [cache.fork() for cache in state]
        hidden = self.embed(y, self.embedding, caches[0].length)
        for block, cache in zip(self.decoder, caches, strict=True):
            hidden = block(hidden, causal=True, source=source.outputs, source_mask=source.mask, cache=cache)
        return self.norms[1](hidden) @ self.embedding.weight.T, caches

    def attention(self, y: Tensor, source: Source) -> Tensor:  # (B, T) -> (B, H, T, S)
        """Return how each head of the last block shares the attention in the source of each token after y."""
        asked: list[Tensor] = []
        last: Any = self.decoder[-1]
        handle = last.cross.register_forward_pre_hook(lambda _, given: asked.append(given[0]))
        try:
            self.decode(y, source)
        finally:
            handle.remove()
        return last.cross.weights(asked[0], source.outputs, source.mask)
