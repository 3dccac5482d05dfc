"""An epoch of MNIST in batches of 64, no model: `dlcli.data.loader.Resident` against torch's DataLoader.

Resident keeps bytes and turns each batch into floats. The peers: a TensorDataset of floats, made once and shared with
0 or 2 workers that stay alive; and a Dataset that converts one picture at a time, as most code in the wild does.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import common


def main() -> None:
    """Compare the loaders, one epoch a block."""
    given = common.options(__doc__)
    import ours
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    from dlcli.data.loader import Resident

    torch.set_num_threads(given.threads)
    name = common.data_name(given.quick)
    pictures = ours.pictures(name)
    floats = TensorDataset(pictures.x.float() / 255, pictures.y)
    load = partial(DataLoader, batch_size=64, shuffle=True)
    peers = {
        "TensorDataset, 0 workers": load(floats),
        "TensorDataset, 2 workers": load(floats, num_workers=2, persistent_workers=True),
        "picture at a time, 0 workers": load(OneByOne(pictures.x, pictures.y)),
        "picture at a time, 2 workers": load(OneByOne(pictures.x, pictures.y), num_workers=2, persistent_workers=True),
    }
    resident = Resident(pictures, size=64)
    batches = [lambda: resident.epoch(1), *(partial(iter, loader) for loader in peers.values())]
    acts = [partial(epoch, begin, pictures.size) for begin in batches]
    common.in_turn(acts, 1)  # warm-up: worker processes start
    mine, *others = common.in_turn(acts, 2 if given.quick else 7)
    common.show(
        [common.compare(f"{name}, {peer}: an epoch", mine, other) for peer, other in zip(peers, others, strict=True)],
        given,
    )


class OneByOne:
    """A Dataset whose items are single pictures, converted when asked for."""

    def __init__(self, x: Any, y: Any):
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.x[index].float() / 255, int(self.y[index])


def epoch(begin: Any, examples: int) -> float:
    """Return the seconds of an epoch; every example must come once."""
    seen = 0

    def run(batches: Iterable | Iterator) -> None:
        nonlocal seen
        for x, _ in batches:
            seen += len(x)

    seconds = common.timed(lambda: run(begin()))
    if seen != examples:
        raise RuntimeError(f"{seen} examples came, not {examples}")
    return seconds


if __name__ == "__main__":
    main()
