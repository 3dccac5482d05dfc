"""Randomized smoothing: the answer that a net gives most often around a picture, with a certified radius.

    g(x) = argmax_c P(net(x + e) = c),   e ~ N(0, std^2)
    g answers the same within |d|_2 < R = std Phi^-1(p),   p <= P(net(x + e) = g(x))

Cohen, Rosenfeld & Kolter 2019, arXiv:1902.02918. p is the lower end of the Clopper-Pearson interval: with k of n votes,
the p at which k votes or more have probability `alpha`, so that a certificate is wrong with probability alpha at most.
With p <= 1/2 there is no certificate: g abstains. The class is chosen by votes of its own, since an interval for the
winner of the same votes would be too high.

For attacks and ordinary scores the logits are the logarithm of the mean probability over `draws` copies (Salman et al.
2019, arXiv:1906.04584): a random net, to be attacked with attack.eot above 1.

x (B, C, H, W), pixels in [0, 1]; radii in l2.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlcli.errors import ConfigError
from dlcli.losses import single
from dlcli.models.classifier import Classifier

ABSTAINS = -1  # the class of a picture for which nothing is certified
PIECE = 1000  # noisy copies that are read at once


class Smoothed(Classifier):
    """Learn under Gaussian noise, and answer by the mean over noisy copies."""

    def __init__(
        self,
        *,
        net: nn.Module,
        classes: int,
        std: float = 0.25,
        draws: int = 16,
        choosing: int = 100,
        votes: int = 1000,
        alpha: float = 0.001,
        names: Sequence[str] | None = None,
    ):
        super().__init__(net=net, classes=classes, names=names)
        if not 0 < std < float("inf") or min(draws, choosing, votes) < 1 or not 0 < alpha < 1:
            raise ConfigError(
                f"std={std} draws={draws} choosing={choosing} votes={votes} alpha={alpha}: std must be above 0, "
                "the three counts at least 1, alpha between 0 and 1"
            )
        self.std, self.draws, self.alpha = std, draws, alpha
        self.choosing, self.votes = choosing, votes

    def noisy(self, x: Tensor) -> Tensor:
        """Return pictures with noise, which may leave [0, 1]: the theorem is about all of space."""
        return x + self.std * torch.randn_like(x)

    def loss(self, batch: Any) -> Tensor:
        return F.cross_entropy(single(self.net(self.noisy(batch.x))), batch.y)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, classes)
        votes = torch.stack([self.net(self.noisy(x)).float().log_softmax(1) for _ in range(self.draws)])
        return votes.logsumexp(0) - math.log(self.draws)

    @torch.no_grad()
    def tally(self, picture: Tensor, copies: int) -> Tensor:
        """Return how many noisy copies of one picture (C, H, W) the net puts into each class, (classes,)."""
        total = torch.zeros(self.classes, dtype=torch.int64, device=picture.device)
        for begin in range(0, copies, PIECE):
            many = picture.expand(min(PIECE, copies - begin), *picture.shape)
            total += self.net(self.noisy(many)).argmax(1).bincount(minlength=self.classes)
        return total

    def certify(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return class (B,), or -1 where it abstains, and certified radius (B,), or 0, of each picture."""
        pairs = [self.certify_one(picture) for picture in x]
        return torch.tensor([kind for kind, _ in pairs]), torch.tensor([radius for _, radius in pairs])

    def certify_one(self, picture: Tensor) -> tuple[int, float]:
        """Return class and certified radius of one picture (C, H, W)."""
        kind = int(self.tally(picture, self.choosing).argmax())
        won = int(self.tally(picture, self.votes)[kind])
        low = clopper_pearson(won, self.votes, self.alpha)
        return (kind, self.std * quantile(low)) if low > 0.5 else (ABSTAINS, 0.0)


def clopper_pearson(won: int, votes: int, alpha: float) -> float:
    """Return the lower end of the one-sided interval of confidence 1 - alpha for a share (Clopper & Pearson 1934)."""
    from scipy.special import betaincinv

    return float(betaincinv(won, votes - won + 1, alpha)) if won else 0.0


def quantile(share: float) -> float:
    """Return the quantile of the standard normal distribution."""
    from scipy.special import ndtri

    return float(ndtri(share))
