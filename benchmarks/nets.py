"""ResNet-18 and VGG-16 on CIFAR-10: a step of `dl` against a hand-written loop around the same net, batch 64.

The formats take turns too: channels-last against channels-first, and `torch.compile` against none. Memory: the largest
resident set of a process of its own that takes three steps.
"""

import json
import sys
from functools import partial
from itertools import count
from typing import Any

import common

NETS = {"resnet": ("model.net.depth=18",), "vgg": ("model.net.depth=16", "model.net.norm=batch")}
FORMATS = {"channels last": "channels_last=true", "channels first": "channels_last=false"}
BATCH = 64


def main() -> None:
    """Print a table, or, in a child process, the memory that one net takes."""
    given = common.options(__doc__, one="measure the memory of NET:FORMAT:SIDE, and print MiB as JSON")
    import torch

    torch.set_num_threads(given.threads)
    if given.one:
        print(json.dumps(memory(*given.one.split(":"))))
        return
    rows = [row for name in NETS for row in compare(name, given)]
    common.show(rows, given)


def compare(name: str, given: Any) -> list[list[str]]:
    """Return the rows of one net."""
    made = {form: setup(name, word, given.quick) for form, word in FORMATS.items()}
    steps, rounds = (1, 1) if given.quick else (3, 5)
    engines = [partial(engine, made[form], steps) for form in FORMATS]
    hands = [partial(by_hand, made[form], steps) for form in FORMATS]
    *found, compiled = common.in_turn([*engines, *hands, partial(engine, made["channels last"], steps, True)], rounds)
    ours, peers = found[:2], found[2:]
    rows = [
        common.compare(f"{name}, {form}: a step, against by hand", mine, peer)
        for form, mine, peer in zip(FORMATS, ours, peers, strict=True)
    ]
    rows.append(common.compare(f"{name}: a step, channels last against first", *ours))
    rows.append(common.compare(f"{name}: a step, compiled against not", compiled, ours[0]))
    return [*rows, *([] if given.quick else [memory_row(name, form) for form in FORMATS])]


def setup(name: str, word: str, quick: bool) -> Any:
    """Return all that `dl train` builds for a net."""
    import ours

    data = "digits" if quick else "cifar10"
    return ours.setup(name, data, f"batch={BATCH}", "log.every=1000000", "limit_valid=0.02", word, *NETS[name])


def engine(made: Any, steps: int, compiled: bool = False) -> float:
    """Return the seconds of a step of the engine, after one to warm up."""
    import ours

    trained = ours.fresh(made)
    if compiled:
        trained.model.net.compile()
    ours.learn(trained, made.train, 1)
    return common.timed(lambda: ours.learn(trained, made.train, steps)) / steps


def by_hand(made: Any, steps: int) -> float:
    """Return the seconds of a step of the loop that one writes by hand around the same net."""
    import ours
    import torch
    from torch.nn import functional

    net = ours.fresh(made).model.net.train()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)
    x, y = made.splits.train.x, made.splits.train.y
    permutation = torch.randperm(len(x))
    rows = (permutation[i * BATCH : (i + 1) * BATCH] for i in count())

    def learn(steps: int) -> None:
        for _ in range(steps):
            chosen = next(rows)
            optimizer.zero_grad()
            functional.cross_entropy(net(x[chosen].float() / 255), y[chosen]).backward()
            optimizer.step()

    learn(1)
    return common.timed(lambda: learn(steps)) / steps


def memory(name: str, form: str, side: str) -> float:
    """Return the largest resident set of this process after three steps, in MiB."""
    import resource

    made = setup(name, FORMATS[form], quick=False)
    (engine if side == "ours" else by_hand)(made, 2)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def memory_row(name: str, form: str) -> list[str]:
    """Compare the memory of both sides."""
    ours, peer = (
        float(common.child([sys.executable, __file__, "--one", f"{name}:{form}:{side}"])[1])
        for side in ("ours", "hand")
    )
    return [f"{name}, {form}: memory", f"{ours:.0f} MiB", f"{peer:.0f} MiB", f"{ours / peer:.3f}", ""]


if __name__ == "__main__":
    main()
