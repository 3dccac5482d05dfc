"""What a data set can say about itself once its training split is known.

Facts that do not apply are absent. Means and standard deviations (population) come from the training split
alone: what the test split looks like must not leak into the net.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def image_facts(x: Tensor) -> dict[str, Any]:
    """State shape, and mean and standard deviation of each channel, of training pictures (N, C, H, W).

    Pixels count in [0, 1], four decimals: the form in which such numbers are published.
    """
    _, channels, height, width = x.shape
    mean, std = _counted(x) if x.dtype == torch.uint8 else _measured(x)
    return {
        "kind": "images",
        "features": channels * height * width,
        "channels": channels,
        "height": height,
        "width": width,
        "mean": [round(value, 4) for value in mean.tolist()],
        "std": [round(value, 4) or 1.0 for value in std.tolist()],
    }


def _counted(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each channel of bytes, exactly, from how often each byte occurs."""
    counts = torch.stack([torch.bincount(x[:, c].flatten(), minlength=256) for c in range(x.shape[1])]).double()
    level = torch.arange(256, dtype=torch.float64) / 255
    shares = counts / counts.sum(1, keepdim=True)  # (C, 256)
    mean = shares @ level
    return mean, (shares * (level - mean[:, None]).square()).sum(1).sqrt()


def _measured(x: Tensor) -> tuple[Tensor, Tensor]:
    variance, mean = torch.var_mean(x, dim=(0, 2, 3), correction=0)
    return mean, variance.sqrt()


def table_facts(x: Tensor, feature_names: Sequence[str] | None = None) -> dict[str, Any]:
    """State width, and mean and standard deviation of each column, of training rows (N, D)."""
    mean, std = _moments(x)
    facts = {"kind": "table", "features": x.shape[1], "mean": mean, "std": std}
    return facts if feature_names is None else facts | {"feature_names": list(feature_names)}


def signal_facts(x: Tensor) -> dict[str, Any]:
    """State shape, and mean and standard deviation of each channel, of training recordings (N, C, T)."""
    _, channels, length = x.shape
    variance, mean = torch.var_mean(x, dim=(0, 2), correction=0)
    return {
        "kind": "signals",
        "features": channels * length,
        "channels": channels,
        "length": length,
        "mean": [round(value, 4) for value in mean.tolist()],
        "std": [round(value, 4) or 1.0 for value in variance.sqrt().tolist()],
    }


def token_facts(vocabulary: Any, context: int) -> dict[str, Any]:
    """State how many tokens there are, which, and how many of them the longest example has."""
    return {"kind": "tokens", "vocab": len(vocabulary), "vocabulary": vocabulary.state(), "context": context}


def class_facts(names: Sequence[str]) -> dict[str, Any]:
    """State the classes; two of them may also be told apart by a single sigmoid."""
    facts = {"classes": len(names), "names": list(names)}
    return facts | {"labels": 1} if len(names) == 2 else facts


def target_facts(y: Tensor) -> dict[str, Any]:
    """State number, mean and standard deviation of training targets (N, K)."""
    mean, std = _moments(y)
    return {"targets": y.shape[1], "target_mean": mean, "target_std": std}


def _moments(values: Tensor) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of each column; a constant one gets 1, as it is divided by."""
    variance, mean = torch.var_mean(values.double(), dim=0, correction=0)
    std = variance.sqrt()
    std = torch.where(std > 1e-9 * mean.abs(), std, 1.0)
    return _rounded(mean), _rounded(std)


def _rounded(values: Tensor) -> list[float]:
    return [float(f"{value:.7g}") for value in values.tolist()]  # what float32 can tell apart
