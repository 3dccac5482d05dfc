"""GPT: a causal transformer that tells the next token.

Radford et al. 2018 and 2019 (GPT, GPT-2); Brown et al. 2020 (arXiv:2005.14165, GPT-3); weight tying: Press & Wolf 2017
(arXiv:1608.05859).

    h = E[x] + P;  h = block(h), `depth` times;  logits = norm(h) E'

E (V, D) is the table of token embeddings, read forwards and backwards, P (T, D) the places. As in GPT-2 weights start
from N(0, 0.02^2), and what adds to the stream of 2 `depth` summands at 0.02 / sqrt(2 depth). x (B, T), h (B, T, D),
logits (B, T, V). B batch, T time, V vocabulary, D width.

    GPT-2 (124M)  vocab 50,257  context 1024  width 768    depth 12  heads 12     124,439,808 parameters
    GPT-3 (175B)  vocab 50,257  context 2048  width 12288  depth 96  heads 96     heads of 128 features
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlcli.errors import ConfigError
from dlcli.nets.attention import Block, Cache
from dlcli.nets.positions import Positions

SPREAD = 0.02


class GPT(nn.Module):
    """Return logits of the token after each token, and the keys and values from which the next call goes on.

    `multiple` rounds the vocabulary up for kernels that like round numbers; the rows beyond it are never asked.
    """

    def __init__(
        self,
        *,
        vocab: int,
        context: int,
        width: int = 128,
        depth: int = 4,
        heads: int = 4,
        dropout: float = 0.0,
        bias: bool = True,
        positions: str = "learned",
        multiple: int = 1,
    ):
        super().__init__()
        if multiple < 1:
            raise ConfigError(
                f"multiple={multiple}: the vocabulary is rounded up to a multiple of it; 1 changes nothing"
            )
        self.vocab, self.context = vocab, context
        self.embedding = nn.Embedding(-(-vocab // multiple) * multiple, width)
        self.positions = Positions(kind=positions, context=context, width=width)
        self.dropout = nn.Dropout(dropout)
        turned = "rotary" if positions == "rotary" else None
        blocks = [Block(width=width, heads=heads, dropout=dropout, bias=bias, positions=turned) for _ in range(depth)]
        self.blocks: Any = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(width, bias=bias)
        self.apply(begin)
        for name, weight in self.named_parameters():
            if name.endswith(("attention.output.weight", "perceptron.2.weight")):
                nn.init.normal_(weight, std=SPREAD / (2 * depth) ** 0.5)

    def forward(self, x: Tensor, state: list[Cache] | None = None) -> tuple[Tensor, list[Cache]]:  # (B, T)
        caches = [Cache() for _ in self.blocks] if state is None else [cache.fork() for cache in state]
        h = self.dropout(self.positions(self.embedding(x), caches[0].length))  # (B, T, D)
        for block, cache in zip(self.blocks, caches, strict=True):
            h = block(h, causal=True, cache=cache)
        return F.linear(self.norm(h), self.embedding.weight)[..., : self.vocab], caches  # (B, T, V)

    def attention(self, x: Tensor) -> Tensor:
        """Return where each token looks, by layer and head, (B, depth, heads, T, T)."""
        h, found = self.positions(self.embedding(x)), []
        for block in self.blocks:
            found.append(block.attention.weights(block.norms[0](h), causal=True))
            h = block(h, causal=True)
        return torch.stack(found, dim=1)


def begin(module: nn.Module) -> None:
    """Draw the first weights of a layer as GPT-2 does."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=SPREAD)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
