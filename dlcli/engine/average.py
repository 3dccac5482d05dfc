"""An average of the weights over the steps (Polyak & Juditsky 1992), which is evaluated in their place.

    ema:  average <- d average + (1 - d) weights                      d the decay, after every batch
    swa:  average = mean of the weights since share s of the run      (Izmailov et al. 2018, arXiv:1803.05407)

The statistics of batch norms are averaged along with the weights that they belong to. The singular vectors of a
spectral norm are not: a mean of vectors fits no matrix. While the average stands in for the weights they are its own,
found by power iterations that begin at those of the weights. All other buffers stay as they are: histories and chains
belong to the training, and a codebook that follows its codes is an average already.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.parametrize import ParametrizationList

from dlcli.errors import ConfigError
from dlcli.model import Clock

ITERATIONS = 100  # where two singular values lie close together, fewer do not suffice


class Average:
    """Follow the weights of a model: with a `decay`, or, where there is none, all alike since share `start`."""

    def __init__(self, model: nn.Module, decay: float | None, start: float | None = None):
        self.decay, self.start = decay, start
        norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        statistics = [s for m in norms for s in (m.running_mean, m.running_var) if s is not None]
        self.live = [tensor.detach() for tensor in [*model.parameters(), *statistics]]
        self.weights = [tensor.clone() for tensor in self.live]
        self.norms = list(spectral_norms(model))

    def share(self, clock: Clock) -> float:
        """Return how much of the average the weights of this step become; 1 before the averaging starts."""
        if self.decay is not None:
            return 1 - self.decay
        return 1 / max(1, clock.step + 1 - int((self.start or 0.0) * clock.steps))

    @torch.no_grad()
    def update(self, clock: Clock) -> None:
        """Move the average towards the weights."""
        torch._foreach_lerp_(self.weights, self.live, self.share(clock))

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the average in the place of the weights for a while."""
        vectors = [(buffer, buffer.clone()) for norm, _ in self.norms for buffer in norm.buffers()]
        self.swap()
        self.turn()
        try:
            yield
        finally:
            self.swap()
            for buffer, kept in vectors:
                buffer.copy_(kept)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange average and weights."""
        for mine, theirs in zip(self.weights, self.live, strict=True):
            kept = mine.clone()
            mine.copy_(theirs)
            theirs.copy_(kept)

    @torch.no_grad()
    def turn(self) -> None:
        """Turn the vectors of the spectral norms towards the singular vectors of what stands in the weights."""
        for norm, weight in self.norms:
            mode = norm.training
            norm.train()  # a norm that is not in training leaves its vectors alone
            for _ in range(ITERATIONS):
                norm(weight)
            norm.train(mode)

    def state(self) -> dict[str, Tensor]:
        """Return the average by number of the tensor."""
        return {str(i): value for i, value in enumerate(self.weights)}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take over a saved average."""
        for i, value in enumerate(self.weights):
            value.copy_(state[str(i)])


def spectral_norms(model: nn.Module) -> Iterator[tuple[nn.Module, Tensor]]:
    """Yield every spectral norm of a model with the weight that it divides."""
    for layer in model.modules():
        if isinstance(layer, ParametrizationList):
            yield from ((norm, layer.original) for norm in layer if isinstance(norm, _SpectralNorm))


def averaging(model: nn.Module, ema: float | None, swa: float | None) -> Average | None:
    """Return the average that the settings ask for. Raises ConfigError if they ask for two."""
    if ema is not None and swa is not None:
        raise ConfigError(f"ema={ema} and swa={swa}: one average only; drop one of them")
    average = None if ema is swa is None else Average(model, ema, swa)
    return average if average and average.live else None  # a closed form has nothing to average
