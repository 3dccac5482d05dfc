"""What a net makes of a sequence: how well it tells each place, how far it looks back, where its heads look.

T tokens, L layers, H heads.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dlcli.figures.canvas import ACCENT, canvas, colours, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LABELLED = 64  # tokens that still can be read beside a matrix


def positions(losses: Tensor) -> "Figure":
    """Draw the loss of the tokens by their place in the text, (T,): with more to look back on, less surprise."""
    figure, axes = canvas("loss by position", "tokens before", "nats per token")
    axes.plot(range(len(losses)), losses.numpy(), color=ACCENT, lw=1.2)
    axes.set_ylim(bottom=0)
    return figure


def fading(curves: Mapping[str, Tensor]) -> "Figure":
    """Draw the gradient of a token's loss by its inputs, (T,), against their distance, one curve for each name.

    Where it vanishes, nothing is learned of what stood there.
    """
    figure, axes = canvas("how far the gradient reaches", "distance in tokens", "norm of the gradient")
    for (name, norms), colour in zip(curves.items(), colours(len(curves)), strict=True):
        places = torch.arange(1, len(norms) + 1)[norms > 0]
        axes.plot(places.numpy(), norms[norms > 0].numpy(), color=colour, lw=1.2, label=plain([name])[0])
    axes.set_yscale("log")
    axes.legend(frameon=False, fontsize=9)
    return figure


def heads(shares: Tensor, tokens: Sequence[str]) -> "Figure":
    """Draw where each token looks, by layer (downwards) and head (across), (L, H, T, T); rows are who looks."""
    from matplotlib.figure import Figure

    layers, across = shares.shape[:2]
    side = max(1.8, 0.1 * len(tokens)) if len(tokens) <= LABELLED else 1.8
    figure = Figure(figsize=(0.3 + side * across, 0.3 + side * layers), layout="constrained")
    every = figure.subplots(layers, across, squeeze=False)
    for layer in range(layers):
        for head in range(across):
            axes = every[layer][head]
            # the root shows faint looks too; the largest share of each row would outshine them
            axes.imshow(shares[layer, head].sqrt().numpy(), cmap="Blues", vmin=0, vmax=1)
            axes.set_title(f"layer {layer + 1}, head {head + 1}", fontsize=7)
            axes.tick_params(length=0, labelsize=5)
            labels = plain(tokens, 8) if len(tokens) <= LABELLED else []
            axes.set_xticks(range(len(labels)), labels, rotation=90)
            axes.set_yticks(range(len(labels)), labels)
    return figure
