"""LeNet-5 on MNIST, batch 64, Adam: `dl` against a plain DataLoader loop, PyTorch Lightning and Keras 3 on torch.

Each trainer runs in a process of its own, twice through the training set; the second epoch is measured, and the whole
process with it. All read the same 50,000 pictures by the same function and train 61,706 weights on the CPU.
"""

import json
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from tempfile import TemporaryDirectory

import common

EPOCHS = 2  # the first is the warm-up


def main() -> None:
    """Run every trainer in turn, or, in a child process, the one that is asked for."""
    given = common.options(__doc__, threads=2, one="train with this one only, and print seconds as JSON")
    data = common.data_name(given.quick)
    if given.one:
        print(json.dumps(train(given.one, data, given.threads)))
        return
    missing = [name for name in ("lightning", "keras") if find_spec(name) is None]
    names = [name for name in TRAINERS if name not in missing]
    epochs: dict[str, list[float]] = {name: [] for name in names}
    acts = [partial(process, name, given, epochs[name]) for name in names]
    *walls, command = common.in_turn([*acts, partial(whole_command, data, given.threads)], 1 if given.quick else 3)
    rows = []
    for name, wall in zip(names[1:], walls[1:], strict=True):
        rows.append(common.compare(f"{name} on {data}: an epoch", epochs["engine"], epochs[name]))
        rows.append(common.compare(f"{name}: whole process", walls[0], wall))
    rows.append(common.compare("plain: whole process, ours the full `dl train`", command, walls[names.index("plain")]))
    rows += [[name, "", "", "", "not installed: pip install lightning keras"] for name in missing]
    common.show(rows, given)


def process(name: str, given: Namespace, epochs: list[float]) -> float:
    """Run one trainer in a child process; note the seconds of its epoch and return those of the process."""
    words = ["--threads", str(given.threads), *(["--quick"] if given.quick else [])]
    wall, printed = common.child([sys.executable, __file__, "--one", name, *words], KERAS_BACKEND="torch")
    epochs.append(json.loads(printed.splitlines()[-1]))
    return wall


def whole_command(data: str, threads: int) -> float:
    """Return the seconds of `dl train`, with validation, logs, figures and checkpoints."""
    with TemporaryDirectory() as outputs:
        words = ["model=lenet", f"data={data}", f"epochs={EPOCHS}", f"paths.outputs={outputs}"]
        return common.child(
            [sys.executable, "-m", "dlcli", "train", *words, "device=cpu", f"device.threads={threads}"]
        )[0]


def train(name: str, data: str, threads: int) -> float:
    """Train with one trainer; return the seconds of the last epoch."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    marks = TRAINERS[name](data)
    return marks[-1] - marks[-2]


def engine(data: str) -> list[float]:
    """Train with the engine of `dl`; return the time at the ends of its epochs."""
    import ours

    made = ours.setup("lenet", data)
    require_lenet(sum(p.numel() for p in made.engine.model.parameters()))
    marks = []
    for _ in range(EPOCHS):
        ours.learn(made.engine, made.train, len(made.train))
        marks.append(time.perf_counter())
    return marks


def plain(data: str) -> list[float]:
    """Train with a DataLoader and a hand-written loop."""
    _, loss, optimizer, loader = parts(data)
    marks = []
    for _ in range(EPOCHS):
        for x, y in loader:
            optimizer.zero_grad()
            loss(x, y).backward()
            optimizer.step()
        marks.append(time.perf_counter())
    return marks


def lightning(data: str) -> list[float]:
    """Train with PyTorch Lightning: no logger, no checkpoints, no progress bar, no summary, no validation."""
    import logging
    import warnings

    import lightning

    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    net, loss, optimizer, loader = parts(data)
    marks: list[float] = []

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def training_step(self, batch, index):
            return loss(*batch)

        def configure_optimizers(self):
            return optimizer

        def on_train_epoch_end(self) -> None:
            marks.append(time.perf_counter())

    silent = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    lightning.Trainer(
        max_epochs=EPOCHS, accelerator="cpu", devices=1, enable_model_summary=False, **silent
    ).fit(Module(), loader)  # fmt: skip
    return marks


def keras(data: str) -> list[float]:
    """Train with Keras on torch: `fit` on arrays in its own layout for torch, no metrics, no progress bar."""
    import keras
    import ours
    from keras import layers

    pictures = ours.pictures(data)
    x, y = normalized(pictures.x).numpy(), pictures.y.numpy()
    keras.config.set_image_data_format("channels_first")
    net = keras.Sequential([
        layers.Input((1, 28, 28)), layers.ZeroPadding2D(2),
        layers.Conv2D(6, 5, activation="relu"), layers.MaxPooling2D(2),
        layers.Conv2D(16, 5, activation="relu"), layers.MaxPooling2D(2),
        layers.Flatten(),
        layers.Dense(120, activation="tanh"), layers.Dense(84, activation="tanh"), layers.Dense(10),
    ])  # fmt: skip
    require_lenet(net.count_params())
    net.compile(keras.optimizers.Adam(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    marks: list[float] = []
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: marks.append(time.perf_counter()))
    net.fit(x, y, batch_size=64, epochs=EPOCHS, verbose=0, callbacks=[note])
    return marks


def parts(data: str) -> tuple:
    """Return net, loss, fused Adam and a DataLoader over pictures that are normalized once, not in every step."""
    import hand
    import ours
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    pictures = ours.pictures(data)
    net, loss = hand.lenet(torch.tensor(0.0), torch.tensor(1.0))
    require_lenet(sum(p.numel() for p in net.parameters()))
    loader = DataLoader(TensorDataset(normalized(pictures.x), pictures.y), batch_size=64, shuffle=True)
    return net, loss, torch.optim.Adam(net.parameters(), lr=1e-3, fused=True), loader


def normalized(x):
    """Return bytes (N, 1, 28, 28) as floats of mean 0 and standard deviation 1."""
    x = x.float() / 255
    return (x - x.mean()) / x.std()


def require_lenet(weights: int) -> None:
    """Leave unless the net has LeNet-5's number of weights."""
    if weights != 61706:
        sys.exit(f"{weights} weights, not 61,706: the nets are not the same")


TRAINERS: dict[str, Callable[[str], list[float]]] = {
    "engine": engine, "plain": plain, "lightning": lightning, "keras": keras
}  # fmt: skip

if __name__ == "__main__":
    main()
