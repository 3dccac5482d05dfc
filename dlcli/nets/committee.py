"""Several classifiers, or several looks at one picture, that answer together.

    log p(c | x) = log 1/M sum_m softmax(net_m(x))_c                        M members (Hansen & Salamon 1990)
    logits(x)    = 1/V sum_v net(view_v(x))                                  V views (Krizhevsky et al. 2012)

The members of a committee may come from other seeds, from resamples of the data (bagging, Breiman 1996) or from one
run (snapshots, Huang et al. 2017, arXiv:1704.00109).
"""

import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlcli.errors import ConfigError

VIEWS = ("none", "mirror", "shift")


class Committee(nn.Module):
    """Average the probabilities of nets with the same classes; the result is a logarithm of probabilities."""

    def __init__(self, *, members: Sequence[nn.Module]):
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: Tensor) -> Tensor:  # (B, ...) -> (B, classes)
        votes = torch.stack([member(x).log_softmax(1) for member in self.members])
        return votes.logsumexp(0) - math.log(len(self.members))


class Views(nn.Module):
    """Average a net's logits over views of each picture: as it is, mirrored, and moved by a pixel along a diagonal.

    `mirror` has two views, `shift` six: both mirrorings of the picture and of its two moves, which count half.
    """

    def __init__(self, *, net: nn.Module, kind: str = "none"):
        super().__init__()
        if kind not in VIEWS:
            raise ConfigError(f"views={kind!r} is unknown: choose one of {', '.join(VIEWS)}")
        self.net, self.kind = net, kind

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, classes)
        return sum((weight * self.net(view) for view, weight in self.views(x)), start=x.new_zeros(()))

    def views(self, x: Tensor) -> Iterator[tuple[Tensor, float]]:
        """Yield each view with its weight; the weights add up to one."""
        mirrors = [x] if self.kind == "none" else [x, x.flip(-1)]
        share = 1 / len(mirrors) / (2 if self.kind == "shift" else 1)
        yield from ((view, share) for view in mirrors)
        if self.kind == "shift":
            for view in mirrors:
                padded = F.pad(view, [1, 1, 1, 1], mode="reflect")
                yield from ((padded[..., i : i + x.shape[-2], i : i + x.shape[-1]], share / 2) for i in (0, 2))
