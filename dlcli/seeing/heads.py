"""Where attention looks: the heads of a net over the words of a text, or over the patches of a picture.

    weights (B, H, T, S) of a layer with heads, rows sum to one;   (B, T) of attention pooling, one share for each token

A layer shows its weights by a method `weights` that takes what its forward takes. Of pictures the row of the class
token is drawn (the first token, where there is one more than patches), else the mean over all patches. That a head
looks at a word does not say that the answer depends on it (Jain & Wallace 2019, arXiv:1902.10186): `words` tells that.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from math import isqrt
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from dlcli.figures import Row, heads, sheet
from dlcli.seeing.scene import Scene, shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 4  # layers, and heads of each
ASKED = 4  # arguments of `weights`: x, source, mask, causal


@contextmanager
def looking(model: nn.Module, found: list[Tensor]) -> Iterator[None]:
    """Collect the weights of attention, layer by layer, while the context lasts."""

    def note(module: Any, given: Any) -> None:
        found.append(module.weights(*given[:ASKED]).detach())

    layers = [module for module in model.modules() if callable(getattr(module, "weights", None))]
    handles = [layer.register_forward_pre_hook(note) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def attention(model: Any, x: Tensor) -> list[Tensor]:
    """Return the weights of every layer that attends, in the order in which they run, for x (B, ...).

    A rule that has no answer of its own has a net that reads.
    """
    found: list[Tensor] = []
    run = model if type(model).forward is not nn.Module.forward else model.net.read
    with torch.no_grad(), looking(model, found):
        run(x)
    return found


def draw(scene: Scene) -> "Figure | None":
    """Draw the heads over a text, a word beside each row and column; or over pictures."""
    layers = [weights for weights in attention(scene.model, scene.batch.x) if weights.ndim == 4]
    if not layers:
        return None
    if scene.batch.x.ndim == 4:
        return over_pictures(scene.batch.x, layers)
    words = shown(scene, 0)
    first = [layer[0, :MOST, -len(layer[0, 0]) :].float().cpu() for layer in layers[:MOST]]
    extra = ["class"] * (first[0].shape[-1] - scene.batch.x.shape[1])  # a token that the net put in front
    count = len(extra) + len(words)
    return heads(torch.stack([layer[:, :count, :count] for layer in first]), [*extra, *words])


def over_pictures(x: Tensor, layers: list[Tensor]) -> "Figure | None":
    """Draw, below the pictures, where the heads of the last layer look: one row for each head."""
    weights = layers[-1].float()  # (B, H, T, T)
    patches, rest = grid(weights.shape[-1], x.shape[2] / x.shape[3])
    seen = weights[:, :, 0, 1:] if rest else weights.mean(2)
    maps = seen.unflatten(-1, patches)  # (B, H, h, w)
    maps = maps / maps.amax((2, 3), keepdim=True).clamp(min=1e-12)
    rows = [Row(heat=maps[:, head], label=f"head {head + 1}") for head in range(min(2 * MOST, maps.shape[1]))]
    return sheet("where the heads of the last layer look: the brighter, the more", [Row(x, label="picture"), *rows])


def grid(tokens: int, shape: float) -> tuple[tuple[int, int], int]:
    """Return rows and columns of patches of a picture `shape` times as high as wide, and how many tokens are left."""
    for rest in (0, 1):
        high = isqrt(round((tokens - rest) * shape))
        if high and (tokens - rest) % high == 0 and round((tokens - rest) / high * shape) == high:
            return (high, (tokens - rest) // high), rest
    return (1, tokens), 0
