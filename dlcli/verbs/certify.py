"""What a smoothed classifier can promise: accuracy under every change of the picture up to a size."""

from typing import Any

import torch

from dlcli.data.loader import Loader
from dlcli.engine.randomness import aside
from dlcli.errors import ConfigError
from dlcli.figures import robustness

USUAL = 50  # examples
POINTS = 9  # radii in the table and the curve


def certified(model: Any, examples: Loader, config: dict[str, Any]) -> dict[str, Any]:
    """Return certified accuracy at radii, as table and figure, of the first examples; nothing for other models.

    Raises ConfigError if a certificate is asked of a model that can give none.
    """
    asked, able = config["certify"], hasattr(model, "certify")
    if asked and not able:
        raise ConfigError(f"certify={asked}: a {type(model).__name__} can promise nothing; train model=smoothed")
    count = min(USUAL if asked is None else asked, examples.examples)
    if count == 0 or not able:
        return {}
    batch = examples.take(torch.arange(count))
    with torch.no_grad(), aside(config["seed"]):
        kinds, reach = model.certify(batch.x)
    right = kinds == batch.y.cpu()
    radii = torch.linspace(0, float(reach.max()), POINTS).tolist()
    shares = [(right & (reach >= radius)).double().mean().item() for radius in radii]
    title = f"certified, {count} examples, noise {model.std:g}"
    return {
        "certified": {f"l2 {radius:.3f}": {"accuracy": share} for radius, share in zip(radii, shares, strict=True)},
        "certified_examples": count,
        "abstained": (kinds < 0).double().mean().item(),
        "certified_radius": torch.where(right, reach, 0.0).double().mean().item(),
        "certificate": robustness(title, "size of the change (l2)", radii, {"certified accuracy": shares}),
    }
