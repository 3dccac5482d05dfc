"""Principal component analysis (Pearson 1901, Hotelling 1933): the best linear autoencoder, in closed form.

    S = sum_n (x_n - mean) (x_n - mean)^T = U diag(s) U^T,   h = U_Z^T (x - mean),   rebuilt = mean + U_Z h
    squared error of Z components over the training set = sum of the eigenvalues s that were left out

x flattens to (B, D), S (D, D), axes U_Z^T (Z, D), codes h (B, Z). A linear autoencoder with squared error finds the
same subspace (Baldi & Hornik 1989). Mean and S are added up batch by batch (Chan, Golub & LeVeque 1979), so that any
batch size gives the same, and a second epoch changes nothing. No step is taken: the axes are found when needed.
"""

from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from dlcli import figures
from dlcli.errors import ConfigError
from dlcli.model import Clock, Update
from dlcli.models.rebuilding import Pass, Rebuilding
from dlcli.samplers import refuse_label

SERIES = (1, 2, 5, 10, 20, 40, 60, 80, 100, 150, 200, 300, 400, 600, 1000)  # components
SHOWN = 40  # axes


class PCA(Rebuilding):
    """Find the directions in which the examples vary most; `shape` is that of one example."""

    mean: Tensor
    scatter: Tensor
    axes: Tensor
    variance: Tensor
    seen: Tensor
    solved: Tensor

    def __init__(self, *, shape: Sequence[int], latent: int, corruption: Callable[[Tensor], Tensor] | None = None):
        super().__init__(corruption=corruption)
        inputs = prod(shape)
        if latent > inputs:
            raise ConfigError(f"latent={latent}: an example has {inputs} numbers, hence at most {inputs} components")
        self.shape, self.latent = tuple(shape), latent
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("scatter", torch.zeros(inputs, inputs))
        self.register_buffer("axes", torch.zeros(latent, inputs))
        self.register_buffer("variance", torch.zeros(latent))  # of the examples along each axis
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))  # examples
        self.register_buffer("solved", torch.zeros((), dtype=torch.long))  # of them, those that the axes know

    def players(self) -> dict[str, Any]:
        return {}

    def updates(self, batch: Any, clock: Clock) -> Iterator[Update]:
        x = batch.x.flatten(1).float()
        with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
            centre = x.mean(0)
            apart, total = centre - self.mean, self.seen + len(x)
            self.scatter += (x - centre).T @ (x - centre) + torch.outer(apart, apart) * (self.seen * len(x) / total)
            self.mean += apart * (len(x) / total)
            self.seen.copy_(total)
        return iter(())

    def train(self, mode: bool = True) -> "PCA":
        """Change the mode; solve for the axes before the model is looked at."""
        if not mode and self.seen > self.solved:
            self.solve()
        return super().train(mode)

    @torch.no_grad()
    def solve(self) -> None:
        """Take the eigenvectors of S with the largest eigenvalues."""
        values, vectors = torch.linalg.eigh(self.scatter.double().cpu())  # not every GPU has float64
        axes = vectors[:, -self.latent :].T.flip(0)  # (Z, D), the largest first
        sign = axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()  # an axis and its opposite are the same
        self.axes.copy_(axes * sign)
        self.variance.copy_(values[-self.latent :].flip(0).clamp_min(0) / self.seen.cpu())
        self.solved.copy_(self.seen)

    def encode(self, x: Tensor) -> Tensor:
        """Return the components of x, (B, ...) -> (B, Z)."""
        with torch.autocast(x.device.type, enabled=False):
            return (x.flatten(1) - self.mean) @ self.axes.T

    def decode(self, codes: Tensor) -> Tensor:
        """Return what codes (B, Z) stand for, in the shape of x; the first components alone may be given."""
        with torch.autocast(codes.device.type, enabled=False):
            return (self.mean + codes @ self.axes[: codes.shape[1]]).view(-1, *self.shape)

    def embed(self, batch: Any) -> Tensor:
        return self.encode(batch.x)

    def rebuild(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))

    def through(self, x: Tensor) -> Pass:
        given = self.corrupted(x)
        code = self.encode(given)
        output = self.decode(code)
        return Pass(given, output, self.cost(output, x), code)

    def measure(self, batch: Any) -> dict[str, Tensor]:
        x = batch.x.flatten(1)
        code = self.encode(x)
        left = (x - self.mean).square().sum(1, keepdim=True) - code.square().cumsum(1)  # (B, Z)
        return super().measure(batch) | {"residual": left[:, [k - 1 for k in self.series()]]}

    def score(self, measured: dict[str, Tensor]) -> dict[str, float]:
        return super().score({name: values for name, values in measured.items() if name != "residual"})

    def series(self) -> list[int]:
        """Return the numbers of components that are shown."""
        return [k for k in SERIES if k < self.latent] + [self.latent]

    def report(self, measured: dict[str, Tensor]) -> dict[str, Any]:
        error = measured["residual"].double().mean(0).tolist()
        table = {str(k): {"error": value} for k, value in zip(self.series(), error, strict=True)}
        found = super().report(measured) | {"components": table}
        if len(self.shape) != 3:
            return found
        return found | {"axes": self.pictures(), "rebuilt": self.strip(measured["code"][:10])}

    def pictures(self) -> Any:
        """Draw the first axes, grey where they are zero."""
        first = self.axes[:SHOWN]
        scaled = 0.5 + 0.5 * first / first.abs().amax(1, keepdim=True).clamp_min(1e-12)
        shares = self.variance / (self.scatter.diagonal().sum() / self.seen.clamp_min(1)).clamp_min(1e-12)
        words = [f"{i + 1}: {100 * share:.1f} %" for i, share in enumerate(shares[:SHOWN].tolist())]
        return figures.tiles("axes and their shares of the variance", scaled.view(-1, *self.shape), words)

    def strip(self, code: Tensor) -> Any:
        """Draw examples rebuilt from ever more components."""
        code = code.float().to(self.axes.device)
        rows = [figures.Row(images=self.decode(code[:, :k]), label=str(k)) for k in self.series()]
        return figures.sheet("rebuilt from so many components", rows)

    def sample(self, n: int, sampler: Any) -> Tensor:
        refuse_label(sampler, self)
        return self.decode(self.variance.sqrt() * sampler(n, self.latent).to(self.axes.device))
