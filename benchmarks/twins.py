"""Nets of `dl` against their twins in transformers and Keras: same weights, same outputs, seconds of a forward pass.

Both libraries come into an environment of their own, which this script makes; Keras runs on torch, on the same pictures
in the same order of axes. Weights are copied from the twin, with random statistics for its batch norms. ResNet is
transformers'; VGG without norm and Xception are Keras's. The other nets have no twin in either.
"""

import json
import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import common

PEERS = ["keras==3.15.1", "transformers==5.24.0"]
NEEDED = ["h5py", "ml-dtypes", "namex", "optree"]
BATCH, TOLERANCE = 8, 1e-4


def main() -> None:
    """Make the environment and run the comparison in it; or, there, compare."""
    given = common.options(
        __doc__, threads=1, peers="folder of the environment of the peers",
        inner="compare, in the environment of the peers",
    )  # fmt: skip
    if given.inner:
        print(json.dumps([row(name, given.quick) for name in (list(TWINS)[:1] if given.quick else TWINS)]))
        return
    with TemporaryDirectory() as folder:
        python = common.environment(Path(given.peers or folder) / "peers", PEERS, NEEDED)
        words = [str(python), __file__, "--inner", "yes", "--threads", str(given.threads), *["--quick"] * given.quick]
        _, printed = common.child(words, KERAS_BACKEND="torch")
    common.show(json.loads(printed.splitlines()[-1]), given)


def row(name: str, quick: bool) -> list[str]:
    """Compare one net with its twin. Leaves if their outputs differ."""
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    torch.manual_seed(0)
    ours, twin = TWINS[name]()
    size = 299 if name == "Xception" else 224
    x = torch.rand(BATCH, 3, size, size)
    with torch.inference_mode():
        expected, found = twin(x), ours(x)
        off = float((found - expected).abs().max() / expected.abs().max())
        if off > TOLERANCE:
            raise SystemExit(f"{name}: outputs differ by {off:.1e} of the largest")
        acts = [partial(common.timed, partial(net, x)) for net in (ours, twin)]
        mine, peer = common.in_turn(acts, 1 if quick else 7)
    count = sum(p.numel() for p in ours.parameters())
    agree = f"outputs agree to {off:.0e}" if off else "the same bits"
    return common.compare(f"{name}, {count:,} weights", mine, peer, agree)


def resnet(depth: int) -> tuple[Any, Callable[..., Any]]:
    """Return our ResNet and that of transformers with its weights."""
    from transformers import ResNetConfig, ResNetForImageClassification

    from dlcli.nets.layers import Picture
    from dlcli.nets.resnet import FOUR, LAYOUTS, ResNet

    plan = LAYOUTS[depth]
    widths = [4 * width for width in FOUR] if plan.bottleneck else list(FOUR)
    config = ResNetConfig(
        depths=list(plan.blocks), hidden_sizes=widths, embedding_size=64, num_labels=1000,
        layer_type="bottleneck" if plan.bottleneck else "basic",
    )  # fmt: skip
    twin = ResNetForImageClassification(config).eval()
    shake(twin)
    ours = ResNet(picture=Picture(channels=3, height=224, width=224), classes=1000, depth=depth, form="imagenet").eval()
    pour(ours, in_our_order(twin))
    return ours, lambda x: twin(x).logits


def in_our_order(twin: Any) -> Iterator[Any]:
    """Yield the weights of a ResNet of transformers; within a block the shortcut, which stands first, comes last."""
    weights = ((name, value) for name, value in twin.state_dict().items() if "num_batches" not in name)
    for _, block in groupby(weights, key=lambda item: re.split(r"\.(?:shortcut|layer)\.", item[0])[0]):
        yield from (value for _, value in sorted(block, key=lambda item: ".shortcut." in item[0]))


def vgg(depth: int) -> tuple[Any, Callable[..., Any]]:
    """Return our VGG and that of Keras with its weights."""
    import keras

    from dlcli.nets.layers import Picture
    from dlcli.nets.vgg import VGG

    keras.config.set_image_data_format("channels_first")
    twin = getattr(keras.applications, f"VGG{depth}")(weights=None, classifier_activation=None)
    ours = VGG(picture=Picture(channels=3, height=224, width=224), classes=1000, depth=depth).eval()
    pour(ours, flipped(twin, (512, 7, 7)))
    return ours, partial(twin, training=False)


def xception() -> tuple[Any, Callable[..., Any]]:
    """Return our Xception and that of Keras with its weights."""
    import keras
    from torch import nn

    from dlcli.nets.layers import Picture
    from dlcli.nets.xception import Xception

    keras.config.set_image_data_format("channels_first")
    twin = keras.applications.Xception(weights=None, classifier_activation=None)
    ours = Xception(picture=Picture(channels=3, height=299, width=299), classes=1000).eval()
    for module in ours.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-3  # Keras's default
    pour(ours, flipped(twin, (2048, 1, 1)))
    return ours, partial(twin, training=False)


def flipped(twin: Any, places: tuple[int, int, int]) -> Iterator[Any]:
    """Yield the weights of a net of Keras with the axes of torch; its first linear layer reads rows, columns, maps."""
    import torch

    flat = True
    for layer in twin.layers:
        for weight in layer.weights:
            value = weight.value.detach()
            if value.ndim == 4:
                depthwise = weight.name == "depthwise_kernel"
                value = value.permute(2, 3, 0, 1) if depthwise else value.permute(3, 2, 0, 1)
            elif value.ndim == 2:
                if flat:
                    maps, rows, columns = places
                    value = value.reshape(rows, columns, maps, -1).permute(2, 0, 1, 3).flatten(0, 2)
                value, flat = value.T, False
            elif weight.name == "moving_variance":
                value.copy_(torch.rand_like(value) + 0.5)
            elif weight.name == "moving_mean":
                value.copy_(torch.randn_like(value) * 0.1)
            yield value


def shake(net: Any) -> None:
    """Give the batch norms of a net statistics that are not those of a fresh one."""
    from torch import nn

    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)


def pour(net: Any, weights: Iterator[Any]) -> None:
    """Copy weights into a net in order. Raises ValueError if there are more or fewer, RuntimeError if shapes differ."""
    names = [name for name in net.state_dict() if not name.startswith("picture.") and "num_batches" not in name]
    net.load_state_dict(dict(zip(names, weights, strict=True)), strict=False)


TWINS: dict[str, Callable[[], tuple[Any, Callable[..., Any]]]] = {
    **{f"ResNet-{depth}": partial(resnet, depth) for depth in (18, 34, 50, 101, 152)},
    **{f"VGG-{depth}": partial(vgg, depth) for depth in (16, 19)},
    "Xception": xception,
}


if __name__ == "__main__":
    main()
