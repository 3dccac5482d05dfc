"""Attention: the formula, torch's fused kernel for it, many heads, and the transformer's block.

Vaswani et al. 2017 (arXiv:1706.03762); pre-norm: Xiong et al. 2020 (arXiv:2002.04745); layer norm: Ba,
Kiros & Hinton 2016 (arXiv:1607.06450).

    attention(Q, K, V) = softmax(Q K' / sqrt(d)) V        the softmax runs over the keys that a query may see

Q (B, H, T, d) asks, K (B, H, S, d) is asked and V (B, H, S, d) answers. In self-attention all come from x; in cross
attention Q comes from the decoder, K and V from the encoder: `source` (B, S, D). `mask` (B, S) is True where a key is
real; `causal` hides the keys after the query, of which there are S - T more when earlier ones are in a cache.
B batch, T and S time, D width, H heads, d = D / H the width of a head.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlcli.errors import ConfigError
from dlcli.nets.layers import activation as activation_of
from dlcli.nets.layers import choose
from dlcli.nets.positions import Positions as Positions
from dlcli.nets.positions import rotate

NORM_PLACES = {"pre": True, "post": False}


def visible(query: Tensor, key: Tensor, mask: Tensor | None = None, causal: bool = False) -> Tensor | None:
    """Return which key each query may see, bool (B or 1, 1, T or 1, S); None: every key."""
    steps, keys = query.shape[-2], key.shape[-2]
    seen = None if mask is None else mask[:, None, None]  # (B, 1, 1, S)
    if causal and steps > 1:
        past = torch.ones(steps, keys, dtype=torch.bool, device=query.device).tril(keys - steps)[None, None]
        seen = past if seen is None else seen & past
    return seen


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    causal: bool = False,
    dropout: float = 0.0,
) -> Tensor:
    """Return what each query is answered, (B, H, T, d), by torch's fused kernel."""
    if causal and mask is None and query.shape[-2] == key.shape[-2]:  # the kernel skips what lies above the diagonal
        return F.scaled_dot_product_attention(query, key, value, dropout_p=dropout, is_causal=True)
    seen = visible(query, key, mask, causal)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=seen, dropout_p=dropout)


def attention_weights(query: Tensor, key: Tensor, mask: Tensor | None = None, causal: bool = False) -> Tensor:
    """Return the share of each key in the answer to each query, (B, H, T, S), by the formula; rows sum to one."""
    scores = query @ key.mT / query.shape[-1] ** 0.5
    seen = visible(query, key, mask, causal)
    return (scores if seen is None else scores.masked_fill(~seen, -torch.inf)).softmax(-1)


@dataclass
class Cache:
    """Keys and values that one layer has computed already, so that each new token costs one step."""

    key: Tensor | None = None  # (B, H, S, d)
    value: Tensor | None = None
    source: "Cache | None" = None  # of the layer's cross attention; the source is read once

    @property
    def length(self) -> int:
        """The number of tokens so far."""
        return 0 if self.key is None else self.key.shape[-2]

    def extend(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Append the keys and values of new tokens and return those of all."""
        if self.key is not None and self.value is not None:
            key, value = torch.cat((self.key, key), dim=-2), torch.cat((self.value, value), dim=-2)
        self.key, self.value = key, value
        return key, value

    def fork(self) -> "Cache":
        """Return a cache that grows on its own from here."""
        return Cache(self.key, self.value, None if self.source is None else self.source.fork())

    def rows(self, index: Tensor) -> "Cache":
        """Return the cache of some examples of the batch, in the order of `index` (B,)."""
        key, value = (None if half is None else half[index] for half in (self.key, self.value))
        return Cache(key, value, None if self.source is None else self.source.rows(index))


class MultiHead(nn.Module):
    """Attend with several heads side by side and mix what they found: concat(head_1 .. head_H) W.

    Queries, keys and values come from one fused linear layer, its rows in this order. `positions="rotary"` turns
    queries and keys of self-attention by their place.
    """

    def __init__(
        self, *, width: int, heads: int, dropout: float = 0.0, bias: bool = True, positions: str | None = None
    ):
        super().__init__()
        if width % heads:
            raise ConfigError(f"heads={heads} do not divide width={width}; choose a width that is a multiple of heads")
        self.rotary = choose("positions of a head", positions or "none", {"none": False, "rotary": True})
        if self.rotary and width // heads % 2:
            raise ConfigError(f"rotary positions turn pairs, but width={width} / heads={heads} is odd; change one")
        self.heads, self.dropout = heads, dropout
        self.inputs = nn.Linear(width, 3 * width, bias=bias)
        self.output = nn.Linear(width, width, bias=bias)
        nn.init.xavier_uniform_(self.inputs.weight)
        for layer in (self.inputs, self.output):
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def forward(
        self,
        x: Tensor,
        source: Tensor | None = None,
        mask: Tensor | None = None,
        causal: bool = False,
        cache: Cache | None = None,
    ) -> Tensor:  # (B, T, D), (B, S, D) -> (B, T, D)
        query, key, value = self.project(x, source, cache)
        found = attend(query, key, value, mask, causal, self.dropout if self.training else 0.0)
        return self.output(found.transpose(1, 2).flatten(2))  # (B, H, T, d) -> (B, T, D)

    def weights(
        self, x: Tensor, source: Tensor | None = None, mask: Tensor | None = None, causal: bool = False
    ) -> Tensor:
        """Return how each head shares its attention, (B, H, T, S)."""
        query, key, _ = self.project(x, source, None)
        return attention_weights(query, key, mask, causal)

    def project(self, x: Tensor, source: Tensor | None, cache: Cache | None) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries (B, H, T, d), keys and values (B, H, S, d); those of the cache come first."""
        if source is not None:
            return self.across(x, source, cache)
        query, key, value = (self.split(part) for part in self.inputs(x).chunk(3, dim=-1))
        if self.rotary:
            start = 0 if cache is None else cache.length
            query, key = rotate(query, start), rotate(key, start)
        return query, *((key, value) if cache is None else cache.extend(key, value))

    def across(self, x: Tensor, source: Tensor, cache: Cache | None) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries from x, keys and values from the source, which a cache keeps from the first step on."""
        width = x.shape[-1]
        weight, bias = self.inputs.weight, self.inputs.bias
        ours, theirs = (None, None) if bias is None else (bias[:width], bias[width:])
        query = self.split(F.linear(x, weight[:width], ours))
        if cache is not None and cache.key is not None and cache.value is not None:
            return query, cache.key, cache.value
        key, value = (self.split(part) for part in F.linear(source, weight[width:], theirs).chunk(2, dim=-1))
        return query, *((key, value) if cache is None else cache.extend(key, value))

    def split(self, x: Tensor) -> Tensor:
        """Lay the heads side by side: (B, T, D) -> (B, H, T, d)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class Block(nn.Module):
    """Attend, then think about each token alone; a shortcut around each, and a layer norm.

    pre:  x + f(norm(x))      trains without warm-up; whoever stacks such blocks norms their last output
    post: norm(x + f(x))      the form of 2017

    f is self-attention, then cross attention if `cross`, then W2 activation(W1 x + b1) + b2 with `hidden` features.
    """

    def __init__(
        self,
        *,
        width: int,
        heads: int,
        hidden: int | None = None,
        dropout: float = 0.0,
        norm: str = "pre",
        activation: str = "gelu",
        cross: bool = False,
        bias: bool = True,
        positions: str | None = None,
    ):
        super().__init__()
        self.first = choose("norm of a block", norm, NORM_PLACES)
        self.attention = MultiHead(width=width, heads=heads, dropout=dropout, bias=bias, positions=positions)
        self.cross = MultiHead(width=width, heads=heads, dropout=dropout, bias=bias) if cross else None
        self.perceptron = perceptron(width, hidden or 4 * width, activation, bias)
        self.norms = nn.ModuleList(nn.LayerNorm(width, bias=bias) for _ in range(3 if cross else 2))
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        causal: bool = False,
        source: Tensor | None = None,
        source_mask: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:  # (B, T, D), (B, S, D) -> (B, T, D)
        x = self.around(x, self.norms[0], lambda x: self.attention(x, None, mask, causal, cache))
        if self.cross is not None:
            kept = None
            if cache is not None:
                kept = cache.source = cache.source or Cache()
            cross = self.cross
            x = self.around(x, self.norms[1], lambda x: cross(x, source, source_mask, cache=kept))
        return self.around(x, self.norms[-1], self.perceptron)

    def around(self, x: Tensor, norm: nn.Module, part: Callable[[Tensor], Tensor]) -> Tensor:
        """Return x with what a part of the block adds to it, (B, T, D)."""
        if self.first:
            return x + self.dropout(part(norm(x)))
        return norm(x + self.dropout(part(x)))


def perceptron(width: int, hidden: int, activation: str, bias: bool = True) -> nn.Sequential:
    """Return the net that looks at each token alone: W2 activation(W1 x + b1) + b2."""
    return nn.Sequential(
        nn.Linear(width, hidden, bias=bias), activation_of(activation, hidden), nn.Linear(hidden, width, bias=bias)
    )
