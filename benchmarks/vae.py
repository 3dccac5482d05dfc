"""An epoch of a VAE, 784-400-(20 + 20) and 20-400-784, batch 128, Adam: `dl` against hand-written loops and pythae.

All sides train on the same 50,000 pictures with the same threads, without validation, logs and checkpoints. The peers:
a hand-written loop around a DataLoader of single pictures that come through Pillow, as tutorials have it with
torchvision; the same loop around a TensorDataset of floats; and pythae, in the Python that `--peer` names.
"""

import json
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import common
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

AIM = 0.6
BATCH, HIDDEN, LATENT = 128, 400, 20


def main() -> None:
    """Run all sides in turn, or, in a child process, pythae on the pictures of a file."""
    given = common.options(
        __doc__,
        peer="the Python that has pythae (default: this one, if it has)",
        one="train with pythae on the pictures of this file, and print seconds as JSON",
    )
    torch.set_num_threads(given.threads)
    if given.one:
        print(json.dumps(pythae(torch.from_numpy(np.load(given.one)))))
        return
    import ours

    data = common.data_name(given.quick)
    pictures = ours.pictures(data)
    peers: dict[str, Callable[[], float]] = {
        "a picture at a time": hand(OneByOne(pictures.x, pictures.y)),
        "floats in a TensorDataset": hand(TensorDataset(pictures.x.float() / 255, pictures.y)),
    }
    with TemporaryDirectory() as folder:
        file = Path(folder) / "pictures.npy"
        np.save(file, pictures.x.numpy())
        peer = given.peer or (sys.executable if find_spec("pythae") else None)
        if peer:
            peers["pythae"] = partial(elsewhere, peer, file, given)
        mine, *others = common.in_turn([engine(data), *peers.values()], 2 if given.quick else 7)
    rows = [row(f"{name} on {data}: an epoch", mine, other) for name, other in zip(peers, others, strict=True)]
    if not peer:
        rows.append(["pythae", "", "", "", "not there: pip install pythae in another environment, then --peer PYTHON"])
    common.show(rows, given)


def row(what: str, mine: list[float], other: list[float]) -> list[str]:
    """Return a row of the table with the verdict on the aim."""
    return common.compare(what, mine, other, f"aim {AIM} {common.verdict(common.ratio(mine, other) <= AIM)}")


def engine(data: str) -> Callable[[], float]:
    """Return a function that trains an epoch with the engine of `dl` and tells the seconds."""
    import ours

    widths = [f"model.encoder.widths=[{HIDDEN}]", f"model.decoder.widths=[{HIDDEN}]", f"model.latent={LATENT}"]
    made = ours.setup("vae", data, *widths, f"batch={BATCH}")
    require(made.engine.model)
    return partial(common.timed, partial(ours.learn, made.engine, made.train, len(made.train)))


class Net(nn.Module):
    """The VAE of the loops by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(784, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2 * LATENT))
        self.decoder = nn.Sequential(nn.Linear(LATENT, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 784), nn.Sigmoid())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, logvar = self.encoder(x).chunk(2, dim=1)
        z = mean + torch.exp(0.5 * logvar) * torch.randn_like(logvar)
        return self.decoder(z), mean, logvar


def hand(dataset: Dataset) -> Callable[[], float]:
    """Return a function that trains an epoch with a plain loop and tells the seconds."""
    net = Net()
    require(net)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    loader = DataLoader(dataset, batch_size=BATCH, shuffle=True)

    def epoch() -> None:
        net.train()
        total = 0.0
        for x, _ in loader:
            optimizer.zero_grad()
            rebuilt, mean, logvar = net(x)
            fit = F.binary_cross_entropy(rebuilt, x.flatten(1), reduction="sum")
            loss = fit - 0.5 * torch.sum(1 + logvar - mean.pow(2) - logvar.exp())
            loss.backward()
            total += loss.item()
            optimizer.step()

    return partial(common.timed, epoch)


class OneByOne(Dataset):
    """A data set whose items are single pictures, converted by way of Pillow when asked for."""

    def __init__(self, x: Tensor, y: Tensor):
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        picture = Image.fromarray(self.x[index, 0].numpy())
        pixels = torch.from_numpy(np.array(picture, copy=True)).view(1, *picture.size[::-1])
        return pixels.to(torch.float32).div(255), int(self.y[index])


def require(net: nn.Module) -> None:
    """Leave unless a net has the right number of weights."""
    weights = sum(p.numel() for p in net.parameters())
    if weights != 652_824:
        sys.exit(f"{weights} weights, not 652,824: the nets are not the same")


def elsewhere(python: str, file: Path, given: Namespace) -> float:
    """Return the seconds of an epoch of pythae in a process of another Python."""
    _, printed = common.child([python, __file__, "--one", str(file), "--threads", str(given.threads)])
    return json.loads(printed.splitlines()[-1])


def pythae(x: Tensor) -> float:
    """Train two epochs with pythae on bytes (N, 1, 28, 28); return the seconds of the second."""
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    from pythae.trainers.training_callbacks import TrainingCallback

    net = Net()

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.layers = net.encoder

        def forward(self, x: Tensor) -> Any:
            mean, logvar = self.layers(x).chunk(2, dim=1)
            return ModelOutput(embedding=mean, log_covariance=logvar)

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.layers = net.decoder

        def forward(self, z: Tensor) -> Any:
            return ModelOutput(reconstruction=self.layers(z).view(-1, 1, 28, 28))

    marks: list[float] = []

    class Marks(TrainingCallback):
        def on_epoch_begin(self, *_: Any, **__: Any) -> None:
            marks.append(time.perf_counter())

        def on_epoch_end(self, *_: Any, **__: Any) -> None:
            marks.append(time.perf_counter())

    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=LATENT, reconstruction_loss="bce")
    model = VAE(model_config=config, encoder=Encoder(), decoder=Decoder())
    require(model)
    examples = BaseDataset(x.float() / 255, torch.zeros(len(x)))
    with TemporaryDirectory() as folder:
        plan = BaseTrainerConfig(
            output_dir=folder, num_epochs=2, learning_rate=1e-3, per_device_train_batch_size=BATCH, no_cuda=True
        )
        BaseTrainer(model=model, train_dataset=examples, training_config=plan, callbacks=[Marks()]).train()
    return marks[3] - marks[2]


if __name__ == "__main__":
    main()
