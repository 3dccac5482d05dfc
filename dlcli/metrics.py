"""Numbers computed once from what was measured on a whole split.

N examples, C classes, L labels, K targets. Everything is torch, and quick enough for every epoch.
`truth` (N,) int64 class, `guess` (N,) int64 class, `probabilities` (N, C).
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def confusion(truth: Tensor, guess: Tensor, classes: int) -> Tensor:
    """Count how often each class (row) was taken for each class (column), (C, C): rows are the truth."""
    pairs = truth.long() * classes + guess.long()
    return torch.bincount(pairs, minlength=classes * classes).view(classes, classes)


def share(part: Tensor, whole: Tensor) -> Tensor:
    """Return part / whole, and 0 where the whole is 0."""
    return torch.where(whole > 0, part.double() / whole.clamp(min=1), 0.0)


def rates(table: Tensor) -> dict[str, Tensor]:
    """Return precision, recall and F1 of every class of a confusion table, (C,) each.

    precision = TP / (TP + FP), recall = TP / (TP + FN), F1 = 2 TP / (2 TP + FP + FN); 0 where nothing was counted.
    """
    return _rates(table.diagonal(), table.sum(0), table.sum(1))


def _rates(hits: Tensor, guessed: Tensor, present: Tensor) -> dict[str, Tensor]:
    return {
        "precision": share(hits, guessed),
        "recall": share(hits, present),
        "f1": share(2 * hits, guessed + present),
    }


def label_rates(truth: Tensor, guess: Tensor) -> dict[str, Tensor]:
    """Return precision, recall and F1 of L yes-or-no labels, (N, L) each -> (L,) each."""
    hits, guessed, present = (truth & guess).sum(0), guess.sum(0), truth.sum(0)
    return _rates(hits, guessed, present)


def classification(truth: Tensor, guess: Tensor, classes: int) -> dict[str, float]:
    """Return accuracy, error, and precision, recall and F1 averaged over the classes (macro)."""
    table = confusion(truth, guess, classes)
    accuracy = share(table.trace(), table.sum()).item()
    macro = {name: values.mean().item() for name, values in rates(table).items()}
    return {"accuracy": accuracy, "error": 1 - accuracy, **macro}


def per_class(table: Tensor, names: list[str]) -> dict[str, dict[str, float]]:
    """Return precision, recall, F1 and support (number of examples) by class, and their two usual averages.

    macro: every class counts alike; weighted: every example does.
    """
    columns = {**rates(table), "support": table.sum(1)}
    rows = {name: {key: values[i].item() for key, values in columns.items()} for i, name in enumerate(names)}
    support = columns.pop("support").double()
    weights = {"macro average": torch.ones_like(support), "weighted average": support}
    for name, weight in weights.items():
        averages = {key: (values * weight).sum() / weight.sum().clamp(min=1) for key, values in columns.items()}
        rows[name] = {key: value.item() for key, value in averages.items()} | {"support": int(support.sum())}
    return rows


def top(logits: Tensor, truth: Tensor, k: int) -> float:
    """Return the share of examples whose class is among the k highest logits."""
    return (logits.topk(k, dim=1).indices == truth[:, None]).any(1).double().mean().item()


def brier(probabilities: Tensor, truth: Tensor) -> float:
    """Return the mean squared distance between probabilities and the one-hot truth, in [0, 2] (Brier 1950)."""
    target = F.one_hot(truth.long(), probabilities.shape[1])
    return (probabilities.double() - target).square().sum(1).mean().item()


def calibration(confidence: Tensor, correct: Tensor, bins: int = 15) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean confidence, accuracy and number of examples of each of `bins` equal steps of confidence."""
    index = (confidence.double() * bins).ceil().long().clamp(1, bins) - 1
    count = torch.bincount(index, minlength=bins)
    total = [torch.bincount(index, weights=values.double(), minlength=bins) for values in (confidence, correct)]
    return share(total[0], count), share(total[1], count), count


def calibration_error(confidence: Tensor, correct: Tensor, bins: int = 15) -> float:
    """Return the expected calibration error: the mean of |accuracy - confidence| over the examples' bins."""
    expected, found, count = calibration(confidence, correct, bins)
    return share(((expected - found).abs() * count).sum(), count.sum()).item()


def auc(scores: Tensor, positive: Tensor) -> float:
    """Return the area under the ROC curve: how often a positive scores above a negative, ties counted half.

    scores, positive (N,). By rank sums (Mann & Whitney 1947); NaN where one of the two kinds is absent.
    """
    _, index, counts = scores.unique(return_inverse=True, return_counts=True)
    rank = (counts.cumsum(0) - (counts - 1) / 2).double()[index]
    positive = positive.bool()
    ones, zeros = int(positive.sum()), int((~positive).sum())
    if not ones or not zeros:
        return float("nan")
    return (rank[positive].sum().item() - ones * (ones + 1) / 2) / (ones * zeros)


def mean_auc(scores: Tensor, positive: Tensor) -> float:
    """Return the mean AUC of the columns, (N, L) each; columns of one kind only are left out."""
    columns = torch.tensor([auc(s, p) for s, p in zip(scores.T, positive.T, strict=True)])
    return columns.nanmean().item()


def regression(guess: Tensor, truth: Tensor) -> dict[str, float]:
    """Return MSE, RMSE, MAE and R2 of (N, K) targets, averaged over the targets.

    R2 = 1 - squared error / squared distance from the mean; 0 for a target that never varies.
    """
    guess, truth = guess.double(), truth.double()
    squared = (guess - truth).square()
    mse, spread = squared.mean().item(), (truth - truth.mean(0)).square().sum(0)
    explained = torch.where(spread > 0, 1 - squared.sum(0) / spread.clamp(min=1e-300), 0.0)
    return {
        "mse": mse,
        "rmse": mse**0.5,
        "mae": (guess - truth).abs().mean().item(),
        "r2": explained.mean().item(),
    }


def psnr(guess: Tensor, truth: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio -10 log10(mean squared error) of pixels in [0, 1], in dB; 100 at most.

    (N, ...) each -> (N,).
    """
    return -10 * (guess - truth).square().flatten(1).mean(1).clamp_min(1e-10).log10()


def pooled_psnr(values: Tensor) -> Tensor:
    """Return the PSNR that belongs to the mean of the squared errors of pictures with these values, (N,) -> ()."""
    return -10 * (10 ** (-values.double() / 10)).mean().log10()


def ssim(guess: Tensor, truth: Tensor, window: int = 11, sigma: float = 1.5) -> Tensor:
    """Return the structural similarity of pixels in [0, 1], 1 at most, averaged over windows and channels.

    (N, C, H, W) each -> (N,). Wang, Bovik, Sheikh, Simoncelli 2004: Gaussian windows that lie inside the picture;
    a smaller picture gets a window of its own size.
    """
    sides = [min(window, side) for side in truth.shape[2:]]
    rows, columns = (_bell(side, sigma).to(truth.device) for side in sides)

    def local(x: Tensor) -> Tensor:
        """Return the weighted mean of each window."""
        return F.conv2d(F.conv2d(x, rows.view(1, 1, -1, 1)), columns.view(1, 1, 1, -1))

    with torch.autocast(truth.device.type, enabled=False):
        x, y = guess.float().flatten(0, 1)[:, None], truth.float().flatten(0, 1)[:, None]  # (N * C, 1, H, W)
        mean_x, mean_y = local(x), local(y)
        spread = local(x * x) + local(y * y) - mean_x.square() - mean_y.square()
        common = local(x * y) - mean_x * mean_y
        light, contrast = 0.01**2, 0.03**2  # keep flat windows from dividing by zero
        likeness = (2 * mean_x * mean_y + light) * (2 * common + contrast)
        likeness = likeness / ((mean_x.square() + mean_y.square() + light) * (spread + contrast))
    return likeness.view(len(truth), -1).mean(1)


def _bell(side: int, sigma: float) -> Tensor:
    """Return the weights of a Gaussian window, which add up to one."""
    place = torch.arange(side) - (side - 1) / 2
    weights = (-0.5 * (place / sigma).square()).exp()
    return weights / weights.sum()
