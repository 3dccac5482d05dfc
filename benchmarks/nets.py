"""ResNet-18 and VGG-16 on CIFAR-10: a step of `dl` against a hand-written loop and Lightning, same net, batch 64.

The formats take turns too: channels-last against channels-first, bf16 against fp32, and `torch.compile` against none.
Lightning gets its batches ready-made, so that nothing but the trainer is compared. Memory: the largest resident set of
a process of its own that takes three steps.
"""

import json
import sys
import time
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from itertools import count, islice
from typing import Any

import common

NETS = {"resnet": ("model.net.depth=18",), "vgg": ("model.net.depth=16", "model.net.norm=batch", "model.net.scale=1.0")}
FORMATS = {"channels last": ("channels_last=true",), "channels first": ("channels_last=false",)}
HALF = ("channels_last=true", "precision=bf16")
BATCH = 64


def main() -> None:
    """Print a table, or, in a child process, the memory that one net takes."""
    given = common.options(__doc__, one="measure the memory of NET:FORMAT:SIDE, and print MiB as JSON")
    if given.one:
        print(json.dumps(memory(*given.one.split(":"), given.threads)))
        return
    pairs = [(name, form) for name in NETS for form in FORMATS]
    needed = [] if given.quick else [memory_row(*pair, given.threads) for pair in pairs]
    import torch

    torch.set_num_threads(given.threads)
    common.show([row for name in NETS for row in compare(name, given)] + needed, given)


def compare(name: str, given: Any) -> list[list[str]]:
    """Return the rows of one net."""
    made = {form: setup(name, words, given.quick) for form, words in FORMATS.items()}
    half = setup(name, HALF, given.quick)
    steps, rounds = (1, 1) if given.quick else (3, 5)
    last, first = made.values()
    sides = {form: partial(engine, made[form], steps) for form in FORMATS}
    sides |= {f"{form}, by hand": partial(by_hand, made[form], steps) for form in FORMATS}
    sides |= {"compiled": partial(engine, last, steps, True), "bf16": partial(engine, half, steps)}
    if find_spec("lightning"):
        sides["lightning"] = partial(lightning, first, steps)
    spent = dict(zip(sides, common.in_turn(list(sides.values()), rounds), strict=True))
    plain, usual = spent["channels last"], spent["channels first"]
    rows = [
        common.compare(f"{name}, {form}: a step, against by hand", spent[form], spent[f"{form}, by hand"])
        for form in FORMATS
    ]
    if "lightning" in spent:
        rows.append(common.compare(f"{name}, channels first: a step, against Lightning", usual, spent["lightning"]))
    rows.append(common.compare(f"{name}: a step, channels last against first", plain, usual))
    rows.append(common.compare(f"{name}: a step, bf16 against fp32", spent["bf16"], plain))
    rows.append(common.compare(f"{name}: a step, compiled against not", spent["compiled"], plain))
    return rows


def setup(name: str, words: tuple[str, ...], quick: bool) -> Any:
    """Return all that `dl train` builds for a net."""
    import ours

    data = "digits" if quick else "cifar10"
    return ours.setup(name, data, f"batch={BATCH}", "log.every=1000000", "limit_valid=0.02", *words, *NETS[name])


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
    ready = batches(made)

    def learn(steps: int) -> None:
        for _ in range(steps):
            x, y = next(ready)
            optimizer.zero_grad()
            functional.cross_entropy(net(x), y).backward()
            optimizer.step()

    learn(1)
    return common.timed(lambda: learn(steps)) / steps


def batches(made: Any) -> Iterator[tuple[Any, Any]]:
    """Yield batches of floats and classes, drawn without replacement."""
    import torch

    x, y = made.splits.train.x, made.splits.train.y
    permutation = torch.randperm(len(x))
    for start in count(step=BATCH):
        chosen = permutation[start : start + BATCH]
        yield x[chosen].float() / 255, y[chosen]


def lightning(made: Any, steps: int) -> float:
    """Return the seconds of a step of Lightning around the same net, without logger, checkpoints and progress bar."""
    import logging
    import warnings

    import lightning
    import ours
    import torch
    from torch.nn import functional
    from torch.utils.data import DataLoader

    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    marks: list[float] = []

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = ours.fresh(made).model.net

        def training_step(self, batch: Any, index: int) -> Any:
            return functional.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.net.parameters(), lr=1e-3, fused=True)

        def on_train_batch_end(self, *_: Any) -> None:
            marks.append(time.perf_counter())

    silent = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = lightning.Trainer(max_epochs=1, accelerator="cpu", devices=1, enable_model_summary=False, **silent)
    ready = DataLoader(list(islice(batches(made), steps + 1)), batch_size=None)
    trainer.fit(Module(), ready)
    return (marks[-1] - marks[0]) / steps


def memory(name: str, form: str, side: str, threads: int) -> float:
    """Return the largest resident set of this process after three steps, in MiB."""
    import resource

    import torch

    torch.set_num_threads(threads)
    made = setup(name, FORMATS[form], quick=False)
    (engine if side == "ours" else by_hand)(made, 2)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def memory_row(name: str, form: str, threads: int) -> list[str]:
    """Compare the memory of both sides. A child inherits the peak of its parent, which must therefore be small."""
    ours, peer = (
        float(common.child([sys.executable, __file__, "--threads", str(threads), "--one", f"{name}:{form}:{side}"])[1])
        for side in ("ours", "hand")
    )
    return [f"{name}, {form}: memory", f"{ours:.0f} MiB", f"{peer:.0f} MiB", f"{ours / peer:.3f}", ""]


if __name__ == "__main__":
    main()
