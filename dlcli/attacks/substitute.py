"""A net that mimics another from its answers alone (Papernot et al. 2017, arXiv:1602.02697).

The victim names the class of a few pictures; the substitute learns these labels; new pictures are made where the
substitute's mind is most easily changed, x + l sign(dz_y / dx), and the victim is asked about them too. Each round
doubles the pictures. No gradient and no logit of the victim is used; its labels are counted.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlcli.attacks.objective import slope

STEP = 0.1  # l
RATE, BATCH = 1e-3, 64


def mimic(
    label: Callable[[Tensor], Tensor], net: nn.Module, x: Tensor, queries: int, rounds: int, passes: int, seed: int
) -> int:
    """Teach `net` the labels (B,) that the victim gives to at most `queries` pictures; return how many it was asked.

    It begins with pictures x (N, C, H, W) of its own, as many as leave room for the doublings.
    """
    generator = torch.Generator().manual_seed(seed)
    known = x[: max(2, queries >> (rounds - 1))].float()
    labels = label(known)
    for turn in range(rounds):
        learn(net, known, labels, passes, generator)
        room = queries - len(known)
        if turn == rounds - 1 or room <= 0:
            break
        net.eval()
        gradient, _ = slope(net, known, partial(torch.gather, dim=1, index=labels.unsqueeze(1)))
        sign = 1 if turn % 2 == 0 else -1  # back and forth, so that the pictures stay pictures
        fresh = (known + sign * STEP * gradient.sign()).clamp(0, 1)[:room]
        known, labels = torch.cat([known, fresh]), torch.cat([labels, label(fresh)])
    net.eval()
    return len(known)


def learn(net: nn.Module, x: Tensor, y: Tensor, passes: int, generator: torch.Generator) -> None:
    """Minimize the cross-entropy with Adam."""
    net.train()
    adam = torch.optim.Adam(net.parameters(), lr=RATE)
    with torch.enable_grad():
        for _ in range(passes):
            for rows in torch.randperm(len(x), generator=generator).split(BATCH):
                if len(rows) > 1:
                    rows = rows.to(x.device)
                    adam.zero_grad()
                    F.cross_entropy(net(x[rows]), y[rows]).backward()
                    adam.step()
