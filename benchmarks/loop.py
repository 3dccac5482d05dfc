"""What the engine costs: a step of `dlcli.engine.loop.Engine` against a step of a hand-written loop.

Both sides start from the same seed, see the same batches and end with the same weights after 200 steps, and after every
block, to the bit, or the benchmark fails. A block is 50 steps, short, because noise comes in seconds: permutation and
batches are counted, building the net is not.
"""

import statistics
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import common
import hand

ALLOWED = 50e-6  # seconds that the engine may add to a step of less than 5 ms


def main() -> None:
    """Compare three families, without and with logging."""
    given = common.options(__doc__)
    import torch

    torch.set_num_threads(given.threads)
    data, steps, rounds = common.data_name(given.quick), *((20, 2) if given.quick else (50, 30))
    rows = [row(family, data, steps, rounds, logged) for family in hand.NETS for logged in (False, True)]
    common.show(rows, given)


def row(family: str, data: str, steps: int, rounds: int, logged: bool) -> list[str]:
    """Compare the two loops on one family."""
    import ours

    made = ours.setup(family, data, f"log.every={steps}")  # 50, the default
    long = 4 * steps  # this also warms both sides up
    require_same(family, engine_block(made, long, logged)[1], hand_block(family, made, long)[1])
    _, reference = hand_block(family, made, steps)

    def engine() -> float:
        seconds, weights = engine_block(made, steps, logged)
        require_same(family, weights, reference)
        return seconds / steps

    def by_hand() -> float:
        seconds, weights = hand_block(family, made, steps)
        require_same(family, weights, reference)
        return seconds / steps

    def same_net() -> float:
        return hand_block(family, made, steps, ours.net_and_loss(made))[0] / steps

    mine, peer, twin = common.in_turn([engine, by_hand, same_net], rounds)
    extra, loop = (statistics.median(a - b for a, b in zip(mine, other, strict=True)) for other in (peer, twin))
    met = common.ratio(mine, peer) <= (1.02 if logged else 1.01)
    met = met or (statistics.median(peer) < 5e-3 and extra <= ALLOWED)
    note = f"{extra * 1e6:+.0f} us, {loop * 1e6:+.0f} us of it the loop; same bits; aim {common.verdict(met)}"
    return common.compare(f"{family} on {data}{', logging' if logged else ''}: a step", mine, peer, note)


def engine_block(made: Any, steps: int, logged: bool) -> tuple[float, list]:
    """Train with the engine; return seconds and final weights."""
    import ours

    from dlcli.log import Log

    engine = ours.fresh(made)
    with tempfile.TemporaryDirectory() as folder:
        if logged:
            engine.log = Log(Path(folder))
            engine.log.scalars({"warm-up": 0.0}, 0)  # makes the writer, which imports TensorBoard
        seconds = common.timed(lambda: ours.learn(engine, made.train, steps))
        if logged:
            engine.log.close()
    return seconds, list(engine.model.parameters())


def hand_block(family: str, made: Any, steps: int, given: Any = None) -> tuple[float, list]:
    """Train by hand, in the order in which `dlcli.data.loader.Resident` serves; return seconds and final weights.

    `given` is a net with its loss; by default both are those of `hand.py`.
    """
    import ours
    import torch

    from dlcli.data.randomness import scramble

    x, y, seed = made.splits.train.x, made.splits.train.y, made.config["seed"]

    def order(epoch: int) -> torch.Tensor:
        return torch.randperm(len(x), generator=torch.Generator().manual_seed(scramble(seed, epoch) >> 1))

    torch.manual_seed(seed)
    net, loss = given or hand.NETS[family](*ours.facts(made))
    return common.timed(lambda: hand.train(net, loss, x, y, steps=steps, order=order)), list(net.parameters())


def require_same(family: str, weights: Iterable, reference: Iterable) -> None:
    """Leave with an error unless the weights are the same to the bit."""
    pairs = list(zip(weights, reference, strict=True))
    if not all(a.equal(b) for a, b in pairs):
        off = max((a - b).abs().max().item() for a, b in pairs)
        sys.exit(f"{family}: the weights differ from those of the hand-written loop by up to {off:.2g}")


if __name__ == "__main__":
    main()
