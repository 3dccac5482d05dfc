"""Pictures that come with scikit-learn, brought to a shape (C, H, W): what a model has not learned."""

import torch
import torch.nn.functional as F
from torch import Tensor

CROP = 200  # pixels along a side of the squares that are cut out of photographs


def digits(count: int, shape: tuple[int, ...]) -> Tensor:
    """Return the first handwritten digits of 8 x 8, enlarged, (count, C, H, W) in [0, 1]."""
    from sklearn.datasets import load_digits

    x = torch.from_numpy(load_digits().images[:count]).float()[:, None] / 16
    return _fitted(x, shape)


def photographs(count: int, shape: tuple[int, ...]) -> Tensor:
    """Return squares of two photographs, a Chinese temple and a flower, made small, (count, C, H, W) in [0, 1]."""
    from sklearn.datasets import load_sample_images

    photos = [torch.tensor(image).permute(2, 0, 1).float() / 255 for image in load_sample_images().images]
    generator = torch.Generator().manual_seed(0)
    places = torch.rand(count, 2, generator=generator).tolist()
    cut = []
    for i, (down, across) in enumerate(places):
        photo = photos[i % len(photos)]
        top, left = int(down * (photo.shape[1] - CROP)), int(across * (photo.shape[2] - CROP))
        cut.append(photo[:, top : top + CROP, left : left + CROP])
    return _fitted(torch.stack(cut), shape)


def _fitted(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return pictures in another size and number of channels, which are grey where they do not agree."""
    x = F.interpolate(x, size=shape[1:], mode="bilinear", align_corners=False, antialias=True).clamp(0, 1)
    return x if x.shape[1] == shape[0] else x.mean(1, keepdim=True).expand(-1, shape[0], -1, -1)
