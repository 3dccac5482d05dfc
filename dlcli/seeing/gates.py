"""What the gates of a recurrent net let through, token by token (Hochreiter & Schmidhuber 1997; Cho et al. 2014).

gate_t (H,) in [0, 1] of the last layer, read forwards: 1 open, 0 shut
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from dlcli.figures import gates
from dlcli.seeing.scene import Scene, shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 48  # tokens


def opened(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Return the gates of the first layer that has some, for x (B, T), (B, T, H) each by name."""
    found: list[dict[str, Tensor]] = []

    def note(module: Any, given: Any) -> None:
        found.append(module.gates(given[0]))

    layers = [module for module in model.modules() if callable(getattr(module, "gates", None))]
    handles = [layer.register_forward_pre_hook(note) for layer in layers]
    try:
        with torch.no_grad():
            model(x)
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else {}


def draw(scene: Scene) -> "Figure | None":
    """Draw the gates over the first text; nothing for a net without any."""
    found = opened(scene.model, scene.batch.x[:1])
    words = shown(scene, 0)[:MOST]
    return (
        gates({name: share[0, : len(words)].float().cpu() for name, share in found.items()}, words) if found else None
    )
