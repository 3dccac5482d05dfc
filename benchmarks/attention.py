"""Sparse attention (BigBird) against dense attention: the cost of one layer's heads as a text grows.

A row is one forward and backward pass of 4 heads of 16 features over one text of n tokens. Dense attention is torch's
fused kernel with the same mask over all pairs; with it, twice the tokens cost four times as much, here twice.
"""

from collections.abc import Callable
from functools import partial

import common

LENGTHS = (256, 512, 1024, 2048, 4096)
HEADS, WIDTH = 4, 16


def main() -> None:
    """Run both sides in turn for each length and print the table."""
    given = common.options(__doc__)
    import torch

    torch.set_num_threads(given.threads)
    rows, before = [], 0.0
    for length in LENGTHS[:2] if given.quick else LENGTHS:
        mine, other = common.in_turn(sides(length), 1 if given.quick else 5)
        middle = sorted(mine)[len(mine) // 2]
        note = f"{middle / before:.1f} times the time of half the tokens" if before else ""
        rows.append(common.compare(f"{length} tokens", mine, other, note))
        before = middle
    common.show(rows, given)


def sides(length: int) -> list[Callable[[], float]]:
    """Return a timed pass of sparse and of dense attention over the same pairs."""
    import torch
    from torch.nn import functional as F

    from dlcli.nets.bigbird import neighbours, pattern, sparse_attend

    three = [torch.randn(1, HEADS, length, WIDTH, requires_grad=True) for _ in range(3)]
    index = neighbours(length)
    seen = pattern(index)[None, None]
    torch.testing.assert_close(sparse_attend(*three, index), F.scaled_dot_product_attention(*three, attn_mask=seen))

    def sparse() -> None:
        sparse_attend(*three, index).sum().backward()

    def dense() -> None:
        F.scaled_dot_product_attention(*three, attn_mask=seen).sum().backward()

    for act in (sparse, dense):
        act()
    return [partial(common.timed, sparse), partial(common.timed, dense)]


if __name__ == "__main__":
    main()
