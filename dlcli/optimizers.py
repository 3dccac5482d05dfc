"""Muon: momentum orthogonalized by Newton-Schulz, for matrices; AdamW for everything else.

Jordan et al. 2024 (kellerjordan.github.io/posts/muon); one learning rate for both: Liu et al. 2025, arXiv:2502.16982.

    M <- m M + (1 - m) G                      mean gradient of a matrix, (rows, columns)
    O  = U V^T  of  (1 - m) G + m M           every direction in the matrix gets a step of the same length
    W <- (1 - lr a) W - lr 0.2 sqrt(max(rows, columns)) O

The last factor gives the step of a matrix the root mean square that AdamW's steps have (0.2), so that one rate, one
schedule and one weight decay serve vectors and matrices. A convolution's kernel is a matrix (out, in * height * width).
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.adamw import adamw

from dlcli.errors import ConfigError

# Steepest at zero: in five rounds all singular values come to lie in about [0.7, 1.2].
QUINTIC = (3.4445, -4.7750, 2.0315)
ROUNDS = 5
ADAM_RMS = 0.2


class Muon(Optimizer):
    """Step matrices along their orthogonalized momentum and all other parameters by AdamW.

    A group with `orthogonal: False` is stepped by AdamW throughout: right for embeddings, whose rows are vectors.
    """

    def __init__(
        self,
        params: Iterable,
        *,
        lr: float = 1e-3,
        momentum: float = 0.95,
        betas: Sequence[float] = (0.9, 0.999),
        weight_decay: float = 0.01,
        orthogonal: bool = True,
        eps: float = 1e-8,
    ):
        if not 0 <= momentum < 1:
            raise ConfigError(f"optimizer.momentum={momentum} must lie in [0, 1); for example optimizer.momentum=0.95")
        decay = {"momentum": momentum, "betas": tuple(betas), "weight_decay": weight_decay}
        super().__init__(params, {"lr": lr, "orthogonal": orthogonal, "eps": eps, **decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Take one step; parameters without a gradient stay."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            moved = [p for p in group["params"] if p.grad is not None]
            lowest = 2 if group["orthogonal"] else math.inf  # dimensions of what counts as a matrix
            self._orthogonal_step([p for p in moved if p.ndim >= lowest], group)
            self._adam_step([p for p in moved if p.ndim < lowest], group)
        return loss

    def _orthogonal_step(self, params: list[Tensor], group: dict[str, Any]) -> None:
        """Move matrices by steps whose singular values are all about the same."""
        if not params:
            return
        grads = [p.grad for p in params if p.grad is not None]
        means = [self._memory(p, "mean")["mean"] for p in params]
        torch._foreach_lerp_(means, grads, 1 - group["momentum"])
        ahead = torch._foreach_lerp(grads, means, group["momentum"])  # Nesterov's look-ahead
        torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
        for p, direction in zip(params, ahead, strict=True):
            matrix = direction.flatten(1)
            length = ADAM_RMS * max(matrix.shape) ** 0.5
            p.add_(orthogonalize(matrix).reshape(p.shape), alpha=-group["lr"] * length)

    def _adam_step(self, params: list[Tensor], group: dict[str, Any]) -> None:
        """Move parameters as torch's AdamW does."""
        if not params:
            return
        memories = [self._memory(p, "exp_avg", "exp_avg_sq", "step") for p in params]
        adamw(
            params,
            grads=[p.grad for p in params if p.grad is not None],
            exp_avgs=[memory["exp_avg"] for memory in memories],
            exp_avg_sqs=[memory["exp_avg_sq"] for memory in memories],
            max_exp_avg_sqs=[],
            state_steps=[memory["step"] for memory in memories],
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )

    def _memory(self, p: Tensor, *names: str) -> dict[str, Tensor]:
        """Return the state of a parameter, zero at first; the step count lies on the CPU, as in torch."""
        memory = self.state[p]
        for name in names:
            if name not in memory:
                memory[name] = torch.tensor(0.0) if name == "step" else torch.zeros_like(p)
        return memory


def orthogonalize(matrix: Tensor) -> Tensor:
    """Return about U V^T of a matrix U S V^T: every singular value between 0.7 and 1.2, without a decomposition."""
    a, b, c = QUINTIC
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.float().T if tall else matrix.float()  # (rows, columns), rows <= columns: the smaller square to multiply
    x = x / x.norm().clamp(min=torch.finfo(x.dtype).tiny)  # the largest singular value is at most 1
    for _ in range(ROUNDS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return (x.T if tall else x).to(matrix.dtype)
