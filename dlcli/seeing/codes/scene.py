"""What is looked at where a model has codes: some examples of a split, and training examples to compare them with.

    z = embed(x) (N, Z): code;  decode(z): what a code stands for;  rebuild(x): what comes back of x, both shaped as x

N examples of the split, M training examples, Z numbers in a code, D numbers in an example, K classes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

AT_ONCE = 500  # examples in a batch
FEW = 10  # examples that are drawn
WIDEST = 4096  # numbers in an example, beyond which principal components take too long

Need = Callable[["Codes"], str | None]  # tells what is missing


@dataclass(frozen=True, kw_only=True)
class Codes:
    """A model with codes in evaluation mode, and the examples through which it is looked at."""

    model: Any
    sample: Any  # N examples: x (N, ...), y (N,); where there are classes, the first of each comes first
    train: Any  # M training examples
    names: Sequence[str] = ()  # of the classes
    without: Sequence[int] = ()  # classes that were left out of the training
    split: Any = None  # serves the whole split in order
    measured: dict[str, Tensor] = field(default_factory=dict)  # of the whole split

    @cached_property
    def x(self) -> Tensor:
        """The examples, (N, ...)."""
        return self.sample.x.cpu()

    @cached_property
    def y(self) -> Tensor:
        """Their classes, (N,)."""
        return self.sample.y.cpu()

    @cached_property
    def z(self) -> Tensor:
        """Their codes, (N, Z)."""
        return self.embed(self.sample)

    @cached_property
    def rebuilt(self) -> Tensor:
        """What comes back of the examples, (N, ...)."""
        return self.rebuild(self.x)

    @cached_property
    def known(self) -> Tensor:
        """The codes of the training examples, (M, Z)."""
        return self.embed(self.train)

    @cached_property
    def principal(self) -> Any:
        """The principal components of the training examples, as many as a code has numbers; None if that is no code."""
        from sklearn.decomposition import PCA

        x, count = self.train.x.flatten(1).cpu(), self.z.shape[1]
        if count >= min(x.shape) or x.shape[1] > WIDEST:
            return None
        return PCA(count, random_state=0).fit(x.numpy())

    def project(self, x: Tensor) -> Tensor:
        """Return examples through as many principal components as a code has numbers: (N, ...) -> (N, Z)."""
        return torch.from_numpy(self.principal.transform(x.flatten(1).numpy()))

    def lift(self, z: Tensor) -> Tensor:
        """Return the examples that the principal components stand for: (N, Z) -> (N, ...)."""
        return self._shaped(torch.from_numpy(self.principal.inverse_transform(z.numpy())))

    def embed(self, batch: Any) -> Tensor:
        """Return codes on the CPU, (N, Z)."""
        parts = (type(batch)(*columns) for columns in zip(*(column.split(AT_ONCE) for column in batch), strict=True))
        return torch.cat([self.model.embed(part).flatten(1).float().cpu() for part in parts])

    def code(self, x: Tensor) -> Tensor:
        """Return the codes of examples of which nothing else is known, (N, ...) -> (N, Z)."""
        _, *rest = (column[:1].expand(len(x), *column.shape[1:]) for column in self.sample)
        return self.embed(type(self.sample)(x.to(self.sample.x.device), *rest))

    def decode(self, z: Tensor) -> Tensor:
        """Return what codes (N, Z) stand for, on the CPU, in the shape of the examples."""
        return torch.cat([self._shaped(self.model.decode(part.to(self.sample.x.device))) for part in z.split(AT_ONCE)])

    def rebuild(self, x: Tensor) -> Tensor:
        """Return what comes back of examples (N, ...), on the CPU."""
        if not hasattr(self.model, "rebuild"):
            return self.decode(self.code(x))
        parts = x.split(AT_ONCE)
        return torch.cat([self._shaped(self.model.rebuild(part.to(self.sample.x.device))) for part in parts])

    def nearest(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the root mean squared distance to the nearest training example, and its class: (N, ...) -> (N,), (N,).

        A number of 0.1 means a tenth of the range from black to white in each pixel.
        """
        flat, others = x.flatten(1), self.train.x.flatten(1).cpu()
        best = [torch.cdist(part, others).min(1) for part in flat.split(AT_ONCE)]
        rows = torch.cat([found.indices for found in best])
        return torch.cat([found.values for found in best]) / flat.shape[1] ** 0.5, self.train.y.cpu()[rows]

    def _shaped(self, flat: Tensor) -> Tensor:
        """Return what was decoded on the CPU, in the shape of the examples; pixels in [0, 1]."""
        shaped = flat.float().cpu().reshape(-1, *self.sample.x.shape[1:])
        return shaped.clamp(0, 1) if shaped.ndim == 4 else shaped


def pictures(codes: Codes) -> str | None:
    """Ask for pictures."""
    return None if codes.sample.x.ndim == 4 else "the examples are no pictures"


def classes(codes: Codes) -> str | None:
    """Ask for one class for each example."""
    y = codes.sample.y
    if y.ndim == 1 and not y.is_floating_point() and len(codes.names) > 1:
        return None
    return "the data do not name one class for each example"


def means(z: Tensor, y: Tensor, count: int) -> Tensor:
    """Return the mean of each class, (N, ...) -> (count, ...); zeros for a class that has no example."""
    total = z.new_zeros(count, *z.shape[1:]).index_add_(0, y, z)
    number = torch.bincount(y, minlength=count).clamp(min=1)
    return total / number.view(-1, *[1] * (z.ndim - 1))
