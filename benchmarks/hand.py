"""Training as one writes it by hand in plain PyTorch: the yardstick. Nothing of `dlcli` is in here.

x (N, 1, 28, 28) uint8 pictures at rest, y (N,) classes. Each net comes with its loss of (x in [0, 1], y).
"""

from collections.abc import Callable
from itertools import count

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Loss = Callable[[Tensor, Tensor], Tensor]


def train(net: nn.Module, loss: Loss, x: Tensor, y: Tensor, *, steps: int, order: Callable[[int], Tensor]) -> None:
    """Take Adam steps on batches of 64; `order` gives the permutation of each epoch."""
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)
    net.train()
    step = 0
    for epoch in count():
        permutation = order(epoch)
        for i in range(0, len(x), 64):
            rows = permutation[i : i + 64]
            optimizer.zero_grad()
            loss(x[rows].float() / 255, y[rows]).backward()
            optimizer.step()
            step += 1
            if step == steps:
                return


def mlp(mean: Tensor, std: Tensor) -> tuple[nn.Module, Loss]:
    """784-256-128-10 with ReLU."""
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)
    )
    return net, lambda x, y: F.cross_entropy(net((x - mean) / std), y)


def lenet(mean: Tensor, std: Tensor) -> tuple[nn.Module, Loss]:
    """LeNet-5, 61,706 weights."""
    net = nn.Sequential(
        nn.ZeroPad2d(2),
        nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120), nn.Tanh(),
        nn.Linear(120, 84), nn.Tanh(),
        nn.Linear(84, 10),
    )  # fmt: skip
    return net, lambda x, y: F.cross_entropy(net((x - mean) / std), y)


def vae(mean: Tensor, std: Tensor, latent: int = 8) -> tuple[nn.Module, Loss]:
    """A variational autoencoder, 784-400-200-(8 + 8) and 8-200-400-784."""
    encoder = nn.Sequential(
        nn.Flatten(), nn.Linear(784, 400), nn.ReLU(), nn.Linear(400, 200), nn.ReLU(), nn.Linear(200, 2 * latent)
    )
    decoder = nn.Sequential(nn.Linear(latent, 200), nn.ReLU(), nn.Linear(200, 400), nn.ReLU(), nn.Linear(400, 784))

    def loss(x: Tensor, _: Tensor) -> Tensor:
        mu, logvar = encoder((x - mean) / std).chunk(2, dim=1)
        z = mu + (0.5 * logvar).exp() * torch.randn_like(mu)
        fit = F.binary_cross_entropy_with_logits(decoder(z).view_as(x), x, reduction="none").flatten(1).sum(1)
        kl = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum(1)
        return (fit + kl).mean()

    return nn.ModuleList([encoder, decoder]), loss


NETS = {"mlp": mlp, "lenet": lenet, "vae": vae}
