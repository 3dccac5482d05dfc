"""Whether the layers learn: gradients by layer, units that never answer, and the weights themselves.

    gradient of layer l: |dL / dW_l|, the Euclidean norm over its weights, of one batch in training mode
    dead: share of the units behind a ReLU that are zero on every example of the sample and at every place

Vanishing gradients: Hochreiter 1991; Glorot & Bengio 2010 (AISTATS). Dead units: Maas, Hannun & Ng 2013.
"""

from collections import Counter
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from dlcli.figures import bars, histograms, magnitudes
from dlcli.seeing.scene import Scene, listening

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.Threshold)
AT_ONCE = 100  # examples in a batch
DRAWN = 20  # layers whose weights are drawn


def weights(model: nn.Module) -> dict[str, Tensor]:
    """Return the weights of each layer, from input to output as the model declares them; no biases, no scales."""
    named = ((name.removesuffix(".weight"), p) for name, p in model.named_parameters() if p.ndim > 1)
    return {name: p for name, p in named if p.numel() > 1}


def gradients(model: Any, batch: Any) -> dict[str, float]:
    """Return the norm of the loss's gradient for each layer; nothing where the rule has no single loss.

    A copy of the model is asked, in training mode, so that no running mean and no gradient of the model is touched.
    """
    twin = deepcopy(model).train()
    twin.zero_grad()
    try:
        loss = twin.loss(batch)
    except NotImplementedError:
        return {}
    if not loss.requires_grad:
        return {}
    loss.backward()
    return {name: p.grad.norm().item() for name, p in weights(twin).items() if p.grad is not None}


@torch.no_grad()
def activity(model: Any, batch: Any) -> tuple[dict[str, float], dict[str, float]]:
    """Return for each rectifier the share of dead units, and the share of zeros among all answers."""
    alive: dict[str, Tensor] = {}
    zeros: dict[str, list[float]] = {}
    seen: Counter[str] = Counter()

    def note(name: str, module: nn.Module, output: Tensor) -> None:
        seen[name] += 1
        key = name if seen[name] == 1 else f"{name} ({seen[name]})"  # one rectifier may serve at several places
        answers = output != 0
        units = answers.flatten(2).any(2).any(0) if answers.ndim > 2 else answers.any(0)
        alive[key] = units | alive.get(key, torch.zeros_like(units))
        zeros.setdefault(key, []).append(1 - answers.float().mean().item())

    with listening(model, lambda _, module: isinstance(module, RECTIFIERS), note):
        for rows in torch.arange(batch.size).split(AT_ONCE):
            seen.clear()
            model.measure(type(batch)(*(column[rows.to(column.device)] for column in batch)))
    dead = {name: 1 - units.float().mean().item() for name, units in alive.items()}
    return dead, {name: sum(shares) / len(shares) for name, shares in zeros.items()}


def draw_gradients(scene: Scene) -> "Figure | None":
    """Draw the gradient norm of each layer."""
    norms = gradients(scene.model, type(scene.sample)(*(column[:AT_ONCE] for column in scene.sample)))
    return magnitudes("gradient by layer, from input to output", "norm of dL/dW", norms) if norms else None


def draw_dead(scene: Scene) -> "Figure | None":
    """Draw the share of dead units, and of zeros, by layer."""
    dead, zeros = activity(scene.model, scene.sample)
    if not dead:
        return None
    title = f"behind each rectifier, {scene.sample.size} examples"
    return bars(title, "share", {"units that are never active": dead, "zeros among all answers": zeros})


def draw_weights(scene: Scene) -> "Figure | None":
    """Draw the histogram of the weights of each layer; where there are many, of some from first to last."""
    found = list(weights(scene.model).items())
    count = min(DRAWN, len(found))
    chosen = dict(found[i * (len(found) - 1) // max(1, count - 1)] for i in range(count))
    return histograms("weights by layer, and their standard deviation", "weight", chosen) if chosen else None
