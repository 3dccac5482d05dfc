"""CycleGAN: translate between two domains of which no pairs are known (Zhu et al. 2017, arXiv:1703.10593).

    G: X -> Y, F: Y -> X, critics D_Y and D_X
    generators  L(D_Y, G(x)) + L(D_X, F(y)) + cycle (|F(G(x)) - x| + |G(F(y)) - y|)
                + cycle identity (|G(y) - y| + |F(x) - x|)
    critics     L(D_Y; y, G(x)) + L(D_X; x, F(y))

x, y (B, C, H, W), pictures of the two domains; |.| means of absolute differences. L is the pair of losses `objective`
(least squares in the paper). The way there and back must lead home, so G cannot throw away what x shows; a picture that
is of the right domain already must stay as it is, which keeps colours. The critics see generated pictures of earlier
steps too, from a buffer of `history` ones (Shrivastava et al. 2017, arXiv:1612.07828), so that they do not forget.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dlcli.errors import ConfigError
from dlcli.model import Clock, Model, Update
from dlcli.models import sliced
from dlcli.samplers import as_picture

ROW = 8  # pictures


class History(nn.Module):
    """Keep `size` pictures, and give back, for every second one on average, an earlier one in its place."""

    kept: Tensor
    count: Tensor

    def __init__(self, *, size: int, shape: Sequence[int]):
        super().__init__()
        self.register_buffer("kept", torch.zeros(size, *shape))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def forward(self, fresh: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C, H, W)
        free = min(len(self.kept) - int(self.count), len(fresh))
        self.kept[int(self.count) : int(self.count) + free] = fresh[:free].to(self.kept.dtype)
        self.count += free
        swapped, rest = min(len(fresh) - free, len(self.kept)), fresh[free:]
        chosen = (torch.rand(swapped, device=fresh.device) < 0.5).nonzero().flatten()
        places = torch.randperm(len(self.kept), device=fresh.device)[chosen]
        given = fresh.clone()
        given[free + chosen] = self.kept[places].to(fresh.dtype)
        self.kept[places] = rest[chosen].to(self.kept.dtype)
        return given


class CycleGAN(Model):
    """Learn G, called `there`, and F, called `back`, from pictures of two domains."""

    asks = "sampler=picture sampler.file=PHOTO.png"
    local = frozenset({"past_there", "past_back"})

    def __init__(
        self,
        *,
        there: nn.Module,
        back: nn.Module,
        critic_there: nn.Module,
        critic_back: nn.Module,
        objective: Any,
        shape: Sequence[int],
        weights: dict[str, float],
        history: int = 50,
    ):
        super().__init__()
        if weights.keys() != {"cycle", "identity"}:
            raise ConfigError(f"weights={weights}: give those of cycle and identity, and no others")
        self.there, self.back = there, back
        self.critic_there, self.critic_back = critic_there, critic_back
        self.objective, self.weights = objective, weights
        self.past_there, self.past_back = (History(size=history, shape=shape) for _ in range(2))

    def players(self) -> dict[str, Iterable]:
        return {
            "generator": [*self.there.parameters(), *self.back.parameters()],
            "critic": [*self.critic_there.parameters(), *self.critic_back.parameters()],
        }

    def updates(self, batch: Any, clock: Clock) -> Iterator[Update]:
        x, y = domains(batch)
        made, unmade = self.there(x), self.back(y)
        fooled = self.objective.generator(self.critic_there(made)) + self.objective.generator(self.critic_back(unmade))
        cycle = distance(self.back(made), x) + distance(self.there(unmade), y)
        loss = fooled + self.weights["cycle"] * cycle.mean()
        if self.weights["identity"]:
            kept = distance(self.there(y), y) + distance(self.back(x), x)
            loss = loss + self.weights["cycle"] * self.weights["identity"] * kept.mean()
        yield Update(loss, "generator")
        made, unmade = self.past_there(made.detach()), self.past_back(unmade.detach())
        told = self.objective.critic(self.critic_there(y), self.critic_there(made))
        yield Update(told + self.objective.critic(self.critic_back(x), self.critic_back(unmade)), "critic")

    def translate(self, x: Tensor) -> Tensor:
        """Return what pictures of the first domain become in the other one."""
        return self.there(x)

    def sample(self, n: int, sampler: Any) -> Tensor:
        """Return a picture of the user's and what it becomes in the other domain, (2, C, H, W)."""
        x, _ = as_picture(sampler, self)
        x = x.to(next(self.parameters()).device)
        made = self.translate(x)
        return torch.cat([x[..., : made.shape[2], : made.shape[3]], made[..., : x.shape[2], : x.shape[3]]])

    def notes(self) -> list[str]:
        """Say what may go wrong with these values."""
        if self.weights["cycle"] > 0:
            return []
        return ["without the cycle nothing ties a picture to its translation; set model.weights.cycle=10"]

    def measure(self, batch: Any) -> dict[str, Tensor]:
        x, y = domains(batch)
        made, unmade = self.there(x), self.back(y)
        cycle = distance(self.back(made), x) + distance(self.there(unmade), y)
        shown = {"x": x, "y": y, "made": made, "unmade": unmade}
        shadows = {f"{name} shadow": sliced.shadows(pictures) for name, pictures in shown.items()}
        return {"loss": cycle, "apart": distance(made, y), **shadows}  # the worst are those that do not come back

    def score(self, measured: dict[str, Tensor]) -> dict[str, float]:
        there, back = (
            sliced.distance(measured[f"{fake} shadow"], measured[f"{real} shadow"])
            for fake, real in (("made", "y"), ("unmade", "x"))
        )
        cycle, apart = (measured[name].double().mean().item() for name in ("loss", "apart"))
        return {"loss": there + back + cycle, "there": there, "back": back, "cycle": cycle, "apart": apart}

    def show(self, batch: Any) -> dict[str, Tensor | str]:
        """Return rows of pictures: as they are, there, and back again; for both domains."""
        x, y = (pictures[:ROW] for pictures in domains(batch))
        made, unmade = self.there(x), self.back(y)
        ways = {"there and back": (x, made, self.back(made)), "back and there": (y, unmade, self.there(unmade))}
        return {name: torch.cat(rows) for name, rows in ways.items()}


def domains(batch: Any) -> tuple[Tensor, Tensor]:
    """Return the pictures of both domains. Raises ConfigError for data of one domain."""
    if not hasattr(batch, "other"):
        raise ConfigError("a CycleGAN learns from two domains; take data that has them, such as data=outlines")
    return batch.x, batch.other


def distance(a: Tensor, b: Tensor) -> Tensor:
    """Return the mean absolute difference of each pair of pictures, (B, C, H, W) -> (B,)."""
    return (a.float() - b).abs().flatten(1).mean(1)
