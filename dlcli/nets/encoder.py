"""The transformer's encoder: every token looks at every other one, `depth` times.

Vaswani et al. 2017 (arXiv:1706.03762). `block` is one of

    pre       norm before attention and perceptron (Xiong et al. 2020, arXiv:2002.04745); the last output is normed
    post      norm after them, as in 2017
    lecture   linear maps for query, key, value and input; norm(x + attention), norm(x + ReLU(W x)) with one shared norm
    bigbird   pre, with sparse attention (`nets.bigbird`)

x (B, T, D), mask (B, T) bool, True where a token is real; result (B, T, D). Without positions the tokens are a set: in
another order they give the same vectors in that order (Zaheer et al. 2017, arXiv:1703.06114; Lee et al. 2019,
arXiv:1810.00825).
"""

from collections.abc import Callable

from torch import Tensor, nn

from dlcli.errors import ConfigError
from dlcli.nets.attention import Block
from dlcli.nets.bigbird import BigBird
from dlcli.nets.layers import choose
from dlcli.nets.positions import Positions


class LectureBlock(nn.Module):
    """Attend between linear maps of the input, think with one layer, and norm both with the same numbers."""

    def __init__(self, *, width: int, heads: int, dropout: float = 0.0):
        super().__init__()
        self.query, self.key, self.value, self.input = (nn.Linear(width, width) for _ in range(4))
        self.attention = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.think = nn.Sequential(nn.Linear(width, width), nn.ReLU())
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:  # (B, T, D) -> (B, T, D)
        hidden = None if mask is None else ~mask
        found, _ = self.attention(
            self.query(x), self.key(x), self.value(x), key_padding_mask=hidden, need_weights=False
        )
        x = self.norm(self.input(x) + found)
        return self.norm(x + self.think(x))


BLOCKS: dict[str, Callable[[int, int, int, float, str | None], nn.Module]] = {
    "pre": lambda width, heads, hidden, dropout, positions: Block(
        width=width, heads=heads, hidden=hidden, dropout=dropout, positions=positions
    ),
    "post": lambda width, heads, hidden, dropout, positions: Block(
        width=width, heads=heads, hidden=hidden, dropout=dropout, positions=positions, norm="post"
    ),
    "lecture": lambda width, heads, hidden, dropout, positions: LectureBlock(width=width, heads=heads, dropout=dropout),
    "bigbird": lambda width, heads, hidden, dropout, positions: Block(
        width=width, heads=heads, hidden=hidden, dropout=dropout, positions=positions
    ),
}


class Encoder(nn.Module):
    """`depth` blocks of `heads` heads over tokens of `width` features, which know their positions or do not."""

    def __init__(
        self,
        *,
        context: int,
        width: int = 64,
        depth: int = 2,
        heads: int = 4,
        hidden: int = 0,
        dropout: float = 0.0,
        block: str = "pre",
        positions: str = "learned",
    ):
        super().__init__()
        make = choose("block", block, BLOCKS)
        if block == "lecture" and (positions == "rotary" or hidden):
            raise ConfigError(
                f"block=lecture, positions={positions}, hidden={hidden}: its maps are as wide as its tokens and turn "
                "nothing; use positions=learned and hidden=0, or block=post"
            )
        self.width, self.context = width, context
        self.positions = Positions(kind=positions, context=context + 1, width=width)  # a class token may stand in front
        turned = "rotary" if positions == "rotary" else None
        self.blocks = nn.ModuleList(make(width, heads, hidden or 4 * width, dropout, turned) for _ in range(depth))
        if block == "bigbird":
            for seed, layer in enumerate(self.blocks):
                layer.attention = BigBird(
                    context=context + 1, seed=seed, width=width, heads=heads, dropout=dropout, positions=turned
                )
        self.norm = nn.LayerNorm(width) if block in ("pre", "bigbird") else nn.Identity()
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:  # (B, T, D) -> (B, T, D)
        return self.think(self.dropout(self.positions(x)), mask)

    def think(self, x: Tensor, mask: Tensor | None = None) -> Tensor:  # (B, T, D) -> (B, T, D)
        """Run the blocks over tokens that know their places."""
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x)
