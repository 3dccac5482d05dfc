"""The contract between the loop and everything that learns.

A yield is one optimizer step. What follows the yield happens after that step. No yield, no step.
`backward(inputs=params)` gives gradients to the yielded player alone.

    class Classifier(Model):                      # one loss: most families write no more than this
        def loss(self, batch):
            return F.cross_entropy(self.net(batch.x), batch.y)

    class GAN(Model):                             # two players
        def updates(self, batch, clock):
            yield Update(self.critic_loss(batch), "critic")
            yield Update(self.generator_loss(batch), "generator")
"""

from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Any, NamedTuple

from torch import Tensor, nn

from dlcli.errors import ConfigError


class Update(NamedTuple):
    """One optimizer step: descend `loss` over the parameters of `player`."""

    loss: Tensor | None  # None: the gradients already stand in .grad
    player: str = "model"


class Clock(NamedTuple):
    """How far the run has come, in batches."""

    step: int
    steps: int
    epoch: int = 0
    share: float = 1.0  # of the examples of the batch in step that the rule is given (accumulate)

    @property
    def progress(self) -> float:
        """The share of the run that lies behind, in [0, 1)."""
        return self.step / self.steps

    def stage(self, shares: Iterable[float]) -> int:
        """Return the index of the share of the run that is being spent now."""
        shares = list(shares)
        spent = self.progress * sum(shares)
        return sum(spent >= end for end in accumulate(shares))


class Model(nn.Module):
    """Networks together with the rule by which they learn."""

    monitor = "loss"  # the number that says which epoch was best
    talks = False  # it shows text, which costs little: that is looked at after every epoch
    usual = 64  # examples that `dl sample` draws unless told how many
    asks = ""  # what `dl sample` must be told besides the run
    rising = frozenset({"accuracy", "precision", "recall", "f1", "auc", "r2"})  # scores that are better when higher
    local = frozenset[str]()  # buffers and modules about the data of this run: `init_from` leaves them as they are

    def players(self) -> dict[str, Iterable]:
        """Name what has an optimizer of its own: parameters, or parameter groups as torch takes them."""
        return {"model": self.parameters()}

    def loss(self, batch: Any) -> Tensor:
        """Return the scalar to descend. Most families write this and nothing else."""
        raise NotImplementedError(f"{type(self).__name__} has no single loss")

    def updates(self, batch: Any, clock: Clock) -> Iterator[Update]:
        """Yield one `Update` for each optimizer step; code after a yield runs after that step."""
        yield Update(self.loss(batch))

    def counts(self, batch: Any) -> Tensor | int:
        """Return of how many values the loss of a batch is the mean: one for each example, or for each token."""
        return batch.size

    def notes(self) -> list[str]:
        """Say before the first step what may go wrong with the chosen values, and the cure, one line each."""
        return []

    def ahead(self, clock: Clock) -> list[str]:
        """Name the stages of learning that have not begun; until the last has, no score says when to stop."""
        return []

    def measure(self, batch: Any) -> dict[str, Tensor]:
        """Return named values, each with one entry per example."""
        return {"loss": self.loss(batch).expand(batch.size)}

    def score(self, measured: dict[str, Tensor]) -> dict[str, float]:
        """Turn what was measured on a whole split into numbers."""
        return {name: values.float().mean().item() for name, values in measured.items()}

    def report(self, measured: dict[str, Tensor]) -> dict[str, Any]:
        """Turn what was measured on a whole split into further numbers, nested tables and matplotlib figures.

        A figure that `dl eval` alone draws, so that no training waits for it, is a function without arguments.
        """
        return {}

    def show(self, batch: Any) -> dict[str, Tensor | str]:
        """Return named pictures (N, C, H, W) in [0, 1] and texts of one batch, for TensorBoard."""
        return {}

    def embed(self, batch: Any) -> Tensor:
        """Return one vector per example, (B, D): the last hidden layer, or the code."""
        raise ConfigError(f"{type(self).__name__} has no hidden layer to embed")

    def sample(self, n: int, sampler: Any) -> Tensor:
        """Return `n` new examples, drawn as `sampler` says."""
        raise ConfigError(f"{type(self).__name__} does not generate; name a run that does: dl sample RUN (model=vae)")
