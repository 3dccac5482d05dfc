"""A step of a DCGAN and of a WGAN-GP on 28x28 pictures: `dl` against loops by hand around the very same nets.

The loops follow the usual example of a DCGAN: real and generated batch through the critic, its step, the same generated
batch through it again, the generator's step. The generator of the WGAN-GP moves on every fifth batch of either side.
"""

import copy
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from typing import Any

import common
import torch
import torch.nn.functional as F
from torch import Tensor

AIM = 1.02
BATCH, LATENT, WIDTH, EVERY = 64, 64, 16, 5


def main() -> None:
    """Run both sides in turn and print the table."""
    given = common.options(__doc__)
    torch.set_num_threads(given.threads)
    data = common.data_name(given.quick)
    common.show([row(family, data, given) for family in ("dcgan", "wgan_gp")], given)


def row(family: str, data: str, given: Namespace) -> list[str]:
    """Return a row of the table with the verdict on the aim."""
    import ours

    widths = [f"model.{player}.width={WIDTH}" for player in ("generator", "critic")]
    steps = EVERY if family == "wgan_gp" else 1
    made = ours.setup(family, data, *widths, f"model.latent={LATENT}", f"model.critic_steps={steps}", f"batch={BATCH}")
    pictures, batches = ours.pictures(data), 10 if given.quick else 100
    hand = by_hand(made.engine.model, pictures.x, steps, entropy if family == "dcgan" else distance)
    acts: list[Callable[[], float]] = [
        partial(common.timed, partial(ours.learn, made.engine, made.train, batches)),
        partial(common.timed, partial(hand, batches)),
    ]
    for act in acts:
        act()  # what the first batches cost more
    mine, other = common.in_turn(acts, 2 if given.quick else 9)
    met = common.verdict(common.ratio(mine, other) <= AIM)
    return common.compare(f"{family}: {batches} batches of {BATCH}", mine, other, f"aim {AIM} {met}")


def by_hand(model: Any, x: Tensor, steps: int, losses: Callable[..., Any]) -> Callable[[int], None]:
    """Return a loop over copies of the nets of a model, which takes so many batches of pictures at rest."""
    critic, generator = copy.deepcopy(model.critic).train(), copy.deepcopy(model.generator).train()
    first, second = (
        torch.optim.Adam(net.parameters(), lr=1e-3, betas=(0.5, 0.999), fused=True) for net in (critic, generator)
    )

    def loop(batches: int) -> None:
        order = torch.randperm(len(x))
        for i in range(batches):
            rows = order[torch.arange(i * BATCH, (i + 1) * BATCH) % len(x)]
            real = x[rows].float() / 255
            fake = generator(torch.randn(BATCH, LATENT))
            first.zero_grad()
            loss, mine = losses(critic, real, fake)
            loss.backward()
            first.step()
            loss.item()  # `dl` looks at every loss too: one that is no number stops it
            if (i + 1) % steps == 0:
                second.zero_grad()
                loss = mine(critic(fake)[:, 0])
                loss.backward()
                second.step()
                loss.item()

    return loop


def entropy(critic: Any, real: Tensor, fake: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Return the critic's cross-entropy and the loss of the generator."""
    ones, zeros = torch.ones(BATCH), torch.zeros(BATCH)
    said, told = critic(real)[:, 0], critic(fake.detach())[:, 0]
    loss = F.binary_cross_entropy_with_logits(said, ones) + F.binary_cross_entropy_with_logits(told, zeros)
    return loss, lambda answer: F.binary_cross_entropy_with_logits(answer, ones)


def distance(critic: Any, real: Tensor, fake: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Return the critic's distance with gradient penalty and the loss of the generator."""
    gap = critic(fake.detach())[:, 0].mean() - critic(real)[:, 0].mean()
    share = torch.rand(BATCH, 1, 1, 1)
    between = (share * real + (1 - share) * fake.detach()).requires_grad_()
    (slope,) = torch.autograd.grad(critic(between)[:, 0].sum(), between, create_graph=True)
    return gap + 10 * (slope.flatten(1).norm(2, dim=1) - 1).pow(2).mean(), lambda answer: -answer.mean()


if __name__ == "__main__":
    main()
