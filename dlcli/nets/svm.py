"""Kernel machines: a weighted sum of how alike x is to examples that were kept (Aizerman, Braverman & Rozonoer 1964).

    f_k(x) = sum_i beta_ik (kernel(x_i, x) + 1)            the 1 makes sum_i beta_ik a bias

    gaussian      exp(-gamma |a - b|^2 / D)
    polynomial    (gamma a b / D + 1)^degree               degree=1 is a linear machine

x (B, ...) is standardized and flattened to (B, D), the kept examples are (N, D), beta (N, K), f (B, K). Divided by D,
one gamma does for few features and for many. There are no parameters: what the machine knows are its examples.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dlcli.errors import ConfigError, DataError
from dlcli.nets.layers import Normalize, choose, exact

CHUNK = 2048  # examples that are compared at once: larger blocks of memory are slower to come by


class KernelMachine(nn.Module):
    """Room for `room` examples of `inputs` numbers, and for the weight of each in each of the outputs."""

    examples: Tensor
    beta: Tensor
    count: Tensor

    def __init__(
        self,
        *,
        inputs: int,
        outputs: int,
        room: int,
        kernel: str = "gaussian",
        gamma: float = 1.0,
        degree: int = 3,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ):
        super().__init__()
        if gamma <= 0:
            raise ConfigError(f"gamma={gamma}: the scale of a kernel, above 0")
        if degree < 1 or room < 1:
            raise ConfigError(f"degree={degree}, room={room}: each at least 1")
        self.kernel = choose("kernel", kernel, {"gaussian": self.gaussian, "polynomial": self.polynomial})
        self.gamma, self.degree = gamma / inputs, degree
        self.normalize = Normalize(mean=mean, std=std)
        self.register_buffer("examples", torch.zeros(room, inputs))
        self.register_buffer("beta", torch.zeros(room, outputs))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))

    def gaussian(self, a: Tensor, b: Tensor) -> Tensor:
        """Return exp(-gamma |a - b|^2 / D), (A, D) and (B, D) -> (A, B)."""
        squares = a.square().sum(1)[:, None] + b.square().sum(1)
        return torch.addmm(squares, a, b.T, alpha=-2).mul_(-self.gamma).exp_()

    def polynomial(self, a: Tensor, b: Tensor) -> Tensor:
        """Return (gamma a b / D + 1)^degree, (A, D) and (B, D) -> (A, B)."""
        return (self.gamma * a @ b.T + 1) ** self.degree

    def alike(self, a: Tensor, b: Tensor) -> Tensor:
        """Return kernel(a, b) + 1 of standardized examples, (A, D) and (B, D) -> (A, B)."""
        return self.kernel(a, b) + 1

    def keep(self, x: Tensor) -> Tensor:
        """Keep examples (B, ...) with weights of zero; return their rows (B,). Raises DataError where room ends."""
        first = int(self.count)
        rows = torch.arange(first, first + len(x), device=x.device)
        if first + len(x) > len(self.examples):
            raise DataError(
                f"more than {len(self.examples):,} training examples, and the machine keeps all of them: "
                "raise model.net.room, or learn from a part with limit=0.1"
            )
        self.examples[rows] = self.normalize(x).flatten(1)
        self.beta[rows] = 0
        self.count += len(x)
        return rows

    def support(self) -> Tensor:
        """Return the rows of the examples that count in any output: the support vectors; of a traced net all rows."""
        if torch.compiler.is_exporting():  # whose shapes cannot follow from values
            return torch.arange(len(self.beta), device=self.beta.device)
        return self.beta.any(1).nonzero().flatten()

    def weigh(self, z: Tensor) -> Tensor:
        """Return f of standardized examples, (B, D) -> (B, K)."""
        f = self.beta.sum(0).expand(z.shape[0], -1)  # `len` would pin a traced size
        for rows in self.support().split(CHUNK):
            f = f + self.kernel(z, self.examples[rows]) @ self.beta[rows]
        return f

    @exact
    def forward(self, x: Tensor) -> Tensor:  # (B, ...) -> (B, K)
        return self.weigh(self.normalize(x).flatten(1))
