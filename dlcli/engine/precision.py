"""Precision: autocast, scale, differentiate, unscale, clip, step, forget; here and nowhere else."""

import math
import time
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from dlcli.engine.player import Player
from dlcli.errors import ConfigError, DivergedError

TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
FIRST = 2.0**16  # scale of the loss in fp16
SLOW = 2.0  # times fp32: below, it may be noise
SMALLEST = FIRST / 2**49  # fifty overflows in a row, or that many more than there are quiet spells


class Precision:
    """The number type of the forward pass, and the step that goes with it."""

    def __init__(
        self,
        device: torch.device,
        name: str = "auto",
        *,
        clip: float | None = None,
        clip_value: float | None = None,
        l1: float = 0.0,
    ):
        self.device, self.clip, self.clip_value, self.l1 = device, clip, clip_value, l1
        self.name = automatic(device) if name == "auto" else name
        if self.name == "fp16" and device.type == "mps":
            raise ConfigError("precision=fp16: not on an Apple GPU; use precision=fp32 or bf16")
        self.type = TYPES[self.name]
        self.scaler = torch.amp.GradScaler(device.type, init_scale=FIRST, enabled=self.name == "fp16")
        self.edits = bool(clip or clip_value or l1)
        self.norms: dict[str, Tensor] | None = None  # a dict while somebody watches the gradient norms
        self._plain = nullcontext()

    def notes(self) -> list[str]:
        """Say whether the processor lacks instructions for the type: it is emulated then, which takes for ever."""
        times = slowdown(self.type) if self.device.type == "cpu" and self.name != "fp32" else 1.0
        slow = f"precision={self.name}: products take {times:.0f} times as long as in fp32 here; use precision=fp32"
        return [slow] if times > SLOW else []

    def forward(self) -> Any:
        """Return the context of the forward pass."""
        return self._plain if self.name == "fp32" else torch.autocast(self.device.type, self.type)

    def backward(self, player: Player, loss: Tensor, step: int) -> float:
        """Give one player alone the gradient of a loss; return the loss. Raises DivergedError unless it is finite."""
        number = finite(loss, step, "the loss", player)
        self.scaler.scale(loss).backward(inputs=player.parameters)
        return number

    def step(self, player: Player, step: int, by_hand: bool = False) -> None:
        """Step one player and forget its gradients. Hand-written gradients (`by_hand`) bypass the scaler."""
        optimizer = player.optimizer
        scaled = self.scaler.is_enabled() and not by_hand
        if self.edits or self.norms is not None:
            if scaled:
                self.scaler.unscale_(optimizer)
            self.edit(player, step)
        if scaled:
            self.scaler.step(optimizer)
            self.scaler.update()
            self.require_scale(player, step)
        else:
            optimizer.step()
        player.forget()

    def require_scale(self, player: Player, step: int) -> None:
        """Raise DivergedError once nothing is left of the scale: it is halved whenever a gradient overflows."""
        scale = self.scaler.get_scale()
        if scale < SMALLEST:
            raise DivergedError(
                f"step {step}: the gradient of player {player.name!r} overflows fp16 again and again; the scale of the "
                f"loss went from {FIRST:g} to {scale:.1g}. Use precision=bf16 or fp32, or a smaller optimizer.lr"
            )

    @torch.no_grad()
    def edit(self, player: Player, step: int) -> None:
        """Add the L1 term, note the norm, and clip the gradient by norm, by value, or both."""
        gradients = [p.grad for p in player.parameters if p.grad is not None]
        if self.l1:
            torch._foreach_add_(
                gradients, torch._foreach_sign([p for p in player.parameters if p.grad is not None]), alpha=self.l1
            )
        if self.norms is not None or self.clip:
            norm = nn.utils.get_total_norm(gradients)
            if self.norms is not None:
                self.norms[player.name] = norm
            if not self.scaler.is_enabled():  # the scaler skips such a step by itself
                finite(norm, step, "the gradient norm", player)
            if self.clip:
                nn.utils.clip_grads_with_norm_(player.parameters, self.clip, norm)
        if self.clip_value:
            nn.utils.clip_grad_value_(player.parameters, self.clip_value)


def automatic(device: torch.device) -> str:
    """Return the fastest safe type: bf16 on GPUs that have it; on CPUs only some, and only wide nets, gain by it."""
    return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"


def slowdown(kind: torch.dtype) -> float:
    """Return how many times as long as in fp32 a product of matrices takes on the CPU, the faster of two."""
    spent = []
    for each in (torch.float32, kind):
        a = torch.ones(256, 256, dtype=each)
        times = []
        for _ in range(3):  # the first one sets things up
            began = time.perf_counter()
            a @ a
            times.append(time.perf_counter() - began)
        spent.append(min(times[1:]))
    return spent[1] / spent[0]


def finite(value: Tensor, step: int, what: str, player: Player) -> float:
    """Return a scalar as a number. Raises DivergedError unless it is finite."""
    number = value.item()
    if not math.isfinite(number):
        whole = all(p.isfinite().all() for p in player.parameters)
        state = "the weights are as they were before this step" if whole else "the step before has spoiled the weights"
        raise DivergedError(
            f"step {step}: {what} of player {player.name!r} is {number}; {state}. "
            "Try a smaller optimizer.lr, clip=1, or precision=fp32"
        )
    return number
