"""Contrastive divergence (Hinton 2002) and its persistent form (Tieleman 2008), gradients written by hand.

    -d log p(v) / d parameter = <dE/d parameter>_data - <dE/d parameter>_model     <.> mean, h given v in both
    CD-k:  the model's mean is taken after k Gibbs steps from the data themselves
    PCD:   after k Gibbs steps of chains that never start anew

This is no gradient of a loss but of the difference of mean free energies, F(data) - F(where the chains are now).
The first hidden units are always drawn, as 0 or 1, the last are always probabilities; what lies between is a choice:
`hidden_samples` puts the drawn h into the data's mean (as in the lecture's RBMupdate), `visible_samples` draws v.

x (B, ...), v (B, V), h (B, H). All values in nats per example.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlcli.errors import ConfigError, DataError
from dlcli.model import Clock, Model, Update
from dlcli.models.partition import Annealing
from dlcli.samplers import Gibbs, chain, refuse_label

KEPT = 500  # training examples that stay with the model
BITS = 8  # units per example in the pseudo-likelihood of every epoch
BURN_IN = 1000  # Gibbs steps from noise, where no sampler says how many
STRIP = (0, 1, 2, 5, 10, 50, 200, 500)  # steps of a chain that are shown


@dataclass(frozen=True, kw_only=True)
class Sparsity:
    """Pull the mean activation of each hidden unit towards a target (Hinton 2010, section 11)."""

    weight: float = 0.0
    target: float = 0.1

    def __call__(self, h: Tensor) -> Tensor:
        """Return the gradient by the input of each hidden unit, that of a cross-entropy: (B, H) -> (H,)."""
        return self.weight * (h.mean(0) - self.target)


class ContrastiveDivergence(Model):
    """Lower the free energy of the data, raise it where the machine's own chains go."""

    rising = Model.rising | {"pseudo_likelihood"}
    local = frozenset({"kept", "seen"})
    net: Any
    chains: Tensor  # (persistent, V)
    kept: Tensor  # (KEPT, V), the first training examples
    seen: Tensor  # how many of them there are by now

    def __init__(
        self,
        *,
        net: nn.Module,
        steps: int = 1,
        persistent: int = 0,
        hidden_samples: bool = False,
        visible_samples: bool = True,
        sparsity: Sparsity | None = None,
        partition: Annealing | None = None,
        shape: Sequence[int] | None = None,
    ):
        super().__init__()
        self.net = net
        if steps < 1:
            raise ConfigError(f"steps={steps}: a chain must leave the data, so k of CD-k is at least 1; use steps=1")
        if persistent and self.net.given:
            raise ConfigError(f"persistent={persistent}: each example has units given of its own; use persistent=0")
        self.steps = steps
        self.hidden_samples, self.visible_samples = hidden_samples, visible_samples
        self.sparsity, self.partition = sparsity or Sparsity(), partition or Annealing()
        width = self.net.weight.shape[1]
        self.shape = list(shape) if shape else [width]
        self.register_buffer("chains", self.net.draw(torch.zeros(persistent, width)))
        self.register_buffer("kept", torch.zeros(KEPT, width))
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))

    def updates(self, batch: Any, clock: Clock) -> Iterator[Update]:
        with torch.no_grad():
            v = self.net.enter(batch.x)
            if self.seen < KEPT:
                self.keep(v)
            for name, slope in self.slopes(v).items():
                getattr(self.net, name).grad = slope
        yield Update(None)

    def keep(self, v: Tensor) -> None:
        """Store the first training examples; the very first batch also sets the visible biases."""
        if not self.seen:
            self.require_units(v)
            self.net.start(v)
        first, count = int(self.seen), min(len(v), KEPT - int(self.seen))
        self.kept[first : first + count] = v[:count]
        self.seen += count

    def require_units(self, v: Tensor) -> None:
        """Raise DataError if binary units would have to be below 0 or above 1."""
        low, high = (bound.item() for bound in v.aminmax())
        if self.net.binary and not 0 <= low <= high <= 1:
            raise DataError(
                f"inputs from {low:.3g} to {high:.3g}: binary visible units stand for probabilities, in [0, 1]; "
                "use model=rbm_gaussian, or model=dbn with model.generator.gaussian=true, whose units are real numbers"
            )

    def slopes(self, v: Tensor) -> dict[str, Tensor]:
        """Return the gradient by each parameter of the net, (B, V)."""
        h = self.net.hidden(v)
        drawn = draw(h)
        w = self.chain(v, drawn)
        slopes = self.net.contrast(v, drawn if self.hidden_samples else h, w, self.net.hidden(w))
        if self.sparsity.weight:
            pull = self.sparsity(h)
            slopes["hidden_bias"] += pull
            slopes["weight"] += torch.outer(pull, v.mean(0))
        return slopes

    def chain(self, v: Tensor, h: Tensor) -> Tensor:
        """Return where the chains are after `steps` steps: those from the data v and drawn h, or the persistent ones.

        Persistent chains draw their visible units whatever the choice: means would not visit the distribution.
        """
        if len(self.chains):
            return self.chains.copy_(self.net.walk(self.chains, self.steps))
        for left in reversed(range(self.steps)):
            w = self.net.back(h, v, self.visible_samples)
            h = self.net.draw_hidden(w) if left else h
        return w

    def measure(self, batch: Any) -> dict[str, Tensor]:
        with torch.autocast(batch.x.device.type, enabled=False):
            v = self.net.enter(batch.x)
            self.require_units(v)
            return {**self.values(v), "x": v}

    def values(self, v: Tensor) -> dict[str, Tensor]:
        """Return what is measured in every epoch, one value per example."""
        rebuilt = self.net.back(self.net.hidden(v), v, sampled=False)
        error = (rebuilt - v)[:, self.net.given :].square().mean(1)
        found = {"reconstruction": error, "free_energy": self.net.free_energy(v)}
        if not self.net.binary:
            return {"loss": error, **found}
        guess = self.pseudo_likelihood(v.round(), BITS)
        return {"loss": -guess, "pseudo_likelihood": guess, **found}

    def pseudo_likelihood(self, v: Tensor, bits: int) -> Tensor:
        """Estimate sum_i log P(v_i | all other units) of binary v by so many random units of each example, (B,).

        P(v_i | others) = sigmoid(F(v with v_i turned over) - F(v)); the mean over the drawn units times their number.
        """
        units = v.shape[1] - self.net.given
        drawn = torch.randint(self.net.given, v.shape[1], (bits, len(v)), device=v.device)
        return units * F.logsigmoid(self.net.flipped(v, drawn)).mean(0)

    def score(self, measured: dict[str, Tensor]) -> dict[str, float]:
        means = {name: values.double().mean().item() for name, values in measured.items() if name != "x"}
        return {**means, "gap": means["free_energy"] - self.training_energy()}

    @torch.no_grad()
    def training_energy(self) -> float:
        """Return the mean free energy of the kept training examples, NaN before there are any."""
        return self.net.free_energy(self.kept[: self.seen]).double().mean().item()

    def report(self, measured: dict[str, Tensor]) -> dict[str, Any]:
        if self.net.given:  # every example has a partition function of its own
            return {}
        with torch.no_grad():
            found = self.partition(self.net, self.kept[: self.seen])
        likelihood = -measured["free_energy"].double()
        error = likelihood.std(correction=0).item() / math.sqrt(len(likelihood))
        return {
            **found._asdict(),
            "log_likelihood": likelihood.mean().item() - found.log_z,
            "log_likelihood_standard_error": error,
        }

    def embed(self, batch: Any) -> Tensor:
        return self.net.hidden(self.net.enter(batch.x))

    def decode(self, codes: Tensor) -> Tensor:
        """Return the mean of the visible units given hidden ones, (B, H) -> x-shaped."""
        return self.net.leave(self.net.visible(codes), self.shape)

    def rebuild(self, x: Tensor) -> Tensor:
        """Return examples as they come back from their hidden units, in the shape of x."""
        v = self.net.enter(x)
        return self.net.leave(self.net.back(self.net.hidden(v), v, sampled=False), x.shape[1:])

    def sample(self, n: int, sampler: Any) -> Tensor:
        refuse_label(sampler, self)
        sampler = chain(sampler, BURN_IN)
        if not isinstance(sampler, Gibbs):
            return self.decode(sampler(n, len(self.net.hidden_bias), self.codes))
        v = self.net.walk(self.beginning(n, sampler.start), sampler.steps - 1)
        return self.net.leave(self.net.back(self.net.draw_hidden(v), v, sampled=False), self.shape)

    def beginning(self, n: int, start: str) -> Tensor:
        """Return where chains start: at kept training examples, or at noise where nothing is given, (n, V)."""
        known = self.kept[torch.arange(n, device=self.kept.device) % max(1, int(self.seen))]
        if start == "examples":
            return known
        noise = self.net.draw(torch.zeros_like(known))
        return torch.cat([known[:, : self.net.given], noise[:, self.net.given :]], dim=1)

    def codes(self, count: int) -> Tensor:
        """Return the hidden units of kept training examples, (count, H)."""
        return self.net.hidden(self.beginning(count, "examples"))

    def show(self, batch: Any) -> dict[str, Tensor | str]:
        if batch.x.dim() != 4 or len(self.shape) != 3:
            return {}
        x = batch.x[:32]
        rows = zip(x.split(8), self.rebuild(x).split(8), strict=True)  # a row of examples, below it what came back
        return {
            "reconstruction": torch.cat([picture for pair in rows for picture in pair]),
            "filters": self.filters(),
            "chains": self.strip(self.net.enter(batch.x[:4])),
        }

    def filters(self) -> Tensor:
        """Return the strongest rows of the weights as pictures, zero as mid-grey, (N, C, H, W)."""
        rows = self.net.weight.detach()
        rows = rows[rows.norm(dim=1).argsort(descending=True)[:64]]
        return (0.5 + 0.5 * rows / rows.abs().amax(1, keepdim=True).clamp(min=1e-12)).view(-1, *self.shape)

    def strip(self, v: Tensor) -> Tensor:
        """Return chains as rows of pictures, each at the steps `STRIP`: first from examples, then from noise."""
        v = torch.cat([v, self.beginning(4, "noise")])
        seen, done = [self.net.leave(v, self.shape)], 0
        for step in STRIP[1:]:
            v = self.net.walk(v, step - done - 1)
            h = self.net.draw_hidden(v)
            seen.append(self.net.leave(self.net.back(h, v, sampled=False), self.shape))
            v, done = self.net.back(h, v), step
        return torch.stack(seen, dim=1).flatten(0, 1).clamp(0, 1)  # (chains * steps, C, H, W)


def draw(p: Tensor) -> Tensor:
    """Draw 0 or 1 with probability `p` of a one."""
    return torch.rand_like(p).lt_(p)
