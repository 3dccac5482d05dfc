"""What a net makes of a sequence: how well it tells each place, how far it looks back, where its heads look.

T tokens, L layers, H heads.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dlcli.figures.canvas import ACCENT, canvas, colours, empty, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LABELLED = 64  # tokens that still can be read beside a matrix
UNITS = 24  # rows of a picture of gates


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
    layers, across = shares.shape[:2]
    side = max(1.8, 0.1 * len(tokens)) if len(tokens) <= LABELLED else 1.8
    figure = empty(0.3 + side * across, 0.3 + side * layers)
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


def gates(shares: Mapping[str, Tensor], tokens: Sequence[str]) -> "Figure":
    """Draw what each gate lets through at each token, (T, H) in [0, 1] by name: a row for each of a few units.

    The units are those of which the first gate changes most along the text, in the order of their mean.
    """
    first = next(iter(shares.values()))
    lively = first.var(0, correction=0).topk(min(UNITS, first.shape[1])).indices
    order = lively[first[:, lively].mean(0).argsort(descending=True)]
    figure = empty(max(4.0, 0.8 + 0.16 * len(tokens)), 0.6 + 1.9 * len(shares))
    rows = figure.subplots(len(shares), 1, squeeze=False, sharex=True)[:, 0]
    for axes, (name, share) in zip(rows, shares.items(), strict=True):
        picture = axes.imshow(share[:, order].T.numpy(), cmap="Blues", vmin=0, vmax=1, aspect="auto")
        axes.set_title(f"gate: {plain([name])[0]}", fontsize=9)
        axes.set_ylabel("unit", fontsize=8)
        axes.set_yticks([])
    rows[-1].set_xticks(range(len(tokens)), plain(tokens, 12), rotation=90 * (max(map(len, tokens)) > 1), fontsize=7)
    figure.colorbar(picture, ax=rows, shrink=0.6).set_label("share let through", fontsize=8)
    return figure
