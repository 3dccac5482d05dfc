"""How much each pixel of a segmented picture counts: rare classes more, and the narrow gaps between cells most.

    w(p) = w_c(p) + w_0 exp(-(d_1(p) + d_2(p))^2 / (2 sigma^2))      (Ronneberger et al. 2015, arXiv:1505.04597, eq. 2)

d_1 and d_2 are the distances (pixels) of p to the nearest and to the second nearest cell; the second term is for pixels
outside of cells alone. A cell is a connected region of pixels of any class but 0. w_c makes all classes count the same
in sum, with mean 1. N pictures, H height, W width.
"""

import numpy as np
import torch
from torch import Tensor

REACH = 4  # standard deviations beyond which a cell counts as infinitely far: exp(-8) of w_0 at most


def weights(y: Tensor, shares: Tensor, w0: float, sigma: float) -> Tensor:
    """Return w (N, H, W) for masks y (N, H, W), given the share of each class (K,) in the training masks."""
    balance = 1 / (shares.clamp(min=1e-6) * len(shares))
    gaps = torch.stack([torch.from_numpy(gap(mask.numpy() > 0, sigma)) for mask in y]) if w0 else 0.0
    return (balance[y.long()] + w0 * gaps).float()


def shares_of(y: Tensor, classes: int) -> Tensor:
    """Return the share of each class among all pixels, (classes,)."""
    return torch.bincount(y.flatten(), minlength=classes).double() / y.numel()


def gap(cells: np.ndarray, sigma: float) -> np.ndarray:
    """Return exp(-(d1 + d2)^2 / (2 sigma^2)) of each pixel outside of cells, 0 inside, (H, W)."""
    from scipy import ndimage

    numbers, _ = ndimage.label(cells)
    first, second = np.full(cells.shape, np.inf), np.full(cells.shape, np.inf)
    reach = round(REACH * sigma)
    for number, box in enumerate(ndimage.find_objects(numbers), 1):
        near = tuple(slice(max(side.start - reach, 0), side.stop + reach) for side in box)
        distance = ndimage.distance_transform_edt(numbers[near] != number)
        second[near] = np.minimum(second[near], np.maximum(first[near], distance))
        first[near] = np.minimum(first[near], distance)
    return np.where(cells, 0.0, np.exp(-((first + second) ** 2) / (2 * sigma**2)))
