"""Recurrent nets: vanilla RNN, LSTM and GRU, stacked, in both directions, by torch's kernels or by the equations.

Elman 1990 (Finding structure in time); Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000; Cho et
al. 2014 (arXiv:1406.1078); Chung et al. 2014 (arXiv:1412.3555); both directions: Schuster & Paliwal 1997.

    vanilla      h' = tanh(W x + b + U h + c)
    lstm         i, f, o = s(W x + b + U h + c), g = tanh(same);  k' = f k + i g;  h' = o tanh(k')
    gru          r, z = s(W x + b + U h + c);  n = tanh(W x + b + r (U h + c));  h' = (1 - z) n + z h
    gru_lecture  the same gates;               n = tanh(W x + b + U (r h) + c);  h' = (1 - z) h + z n

gru is torch's form; gru_lecture is the one taught: z means the opposite, and r acts before the product. s is the
logistic function; each gate has rows of its own in W, U, b and c, in torch's order. With skip=k the gates read
h[t-1] + h[t-k] in place of h[t-1]: a shortcut for the gradient; before the start of a text both are zero. All kinds
have torch's parameters under torch's names, so `fused` changes the speed and nothing else.
B batch, T time, D features of x, L layers times directions, H width of the state.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from dlcli.errors import ConfigError
from dlcli.nets.layers import choose, exact

Gates = dict[str, Tensor]  # what each gate lets through, (B, H) in [0, 1]
Cell = Callable[[Tensor, Tensor, list[Tensor], Tensor, Tensor], tuple[list[Tensor], Gates]]


def vanilla(x: Tensor, read: Tensor, state: list[Tensor], weight: Tensor, bias: Tensor) -> tuple[list[Tensor], Gates]:
    """Step once; `x` is W x + b already, `read` the state that the gates see, (B, H)."""
    return [(x + F.linear(read, weight, bias)).tanh()], {}


def lstm(x: Tensor, read: Tensor, state: list[Tensor], weight: Tensor, bias: Tensor) -> tuple[list[Tensor], Gates]:
    """Step once: forget some of the memory, write some, and show some."""
    write, keep, new, show = (x + F.linear(read, weight, bias)).chunk(4, dim=-1)
    write, keep, show = write.sigmoid(), keep.sigmoid(), show.sigmoid()
    memory = keep * state[1] + write * new.tanh()
    return [show * memory.tanh(), memory], {"write": write, "keep": keep, "show": show}


def gru(x: Tensor, read: Tensor, state: list[Tensor], weight: Tensor, bias: Tensor) -> tuple[list[Tensor], Gates]:
    """Step once: z is the share that stays; r acts after the product."""
    reset_x, stay_x, new_x = x.chunk(3, dim=-1)
    reset_h, stay_h, new_h = F.linear(read, weight, bias).chunk(3, dim=-1)
    reset, stay = (reset_x + reset_h).sigmoid(), (stay_x + stay_h).sigmoid()
    new = (new_x + reset * new_h).tanh()
    return [(1 - stay) * new + stay * state[0]], {"reset": reset, "stay": stay}


def gru_lecture(
    x: Tensor, read: Tensor, state: list[Tensor], weight: Tensor, bias: Tensor
) -> tuple[list[Tensor], Gates]:
    """Step once: z is the share that changes; r acts before the product."""
    gates, new_x = x.tensor_split((2 * read.shape[-1],), dim=-1)
    width = gates.shape[-1]
    reset, change = (gates + F.linear(read, weight[:width], bias[:width])).sigmoid().chunk(2, dim=-1)
    new = (new_x + F.linear(reset * read, weight[width:], bias[width:])).tanh()
    return [(1 - change) * state[0] + change * new], {"reset": reset, "change": change}


CELLS: dict[str, tuple[Cell, Any]] = {
    "vanilla": (vanilla, nn.RNN),
    "lstm": (lstm, nn.LSTM),
    "gru": (gru, nn.GRU),
    "gru_lecture": (gru_lecture, nn.GRU),
}


class Recurrent(nn.Module):
    """Read a sequence step by step with a state that each step changes.

    The state is as torch has it: h (L, B, H), for an LSTM the tuple of h and its memory; with a skip, a tuple that
    ends in the last `skip` states (L, B, skip, H). `lengths` (B,) leaves out what follows the end of a text: outputs
    there are zero, and the state is the one at the end. A text without tokens counts as one of one token.
    """

    def __init__(
        self,
        *,
        cell: str = "lstm",
        inputs: int,
        width: int,
        depth: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        fused: bool = True,
        skip: int = 0,
    ):
        super().__init__()
        self.step, kernel = choose("cell", cell, CELLS)
        if skip < 0 or skip == 1:
            raise ConfigError(f"skip={skip}: a step sees the last state anyway; choose 0 (no skip) or 2 and more")
        self.parts = 2 if cell == "lstm" else 1
        self.skip, self.fused = skip, fused and not skip and cell != "gru_lecture"  # torch has kernels for the others
        between = dropout if depth > 1 else 0.0  # torch warns of dropout that has no place
        self.layers: Any = kernel(
            inputs, width, depth, batch_first=True, dropout=between, bidirectional=bidirectional
        )  # holds the parameters, whoever computes
        self.width, self.depth, self.directions, self.between = width, depth, 1 + bidirectional, between

    @property
    def outputs(self) -> int:
        """The number of features of each output."""
        return self.width * self.directions

    def forward(
        self, x: Tensor, state: Any = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, Any]:  # (B, T, D) -> (B, T, H or 2 H), state
        lengths = None if lengths is None else lengths.clamp(min=1)
        return self.run(x, state, lengths) if self.fused else self.walk(x, state, lengths)

    @torch.no_grad()
    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """Return what the gates of the last layer let through, (B, T, D) -> (B, T, H) in [0, 1] each, read forwards.

        A cell without gates has none.
        """
        noted: list[Gates] = []
        self.walk(x, None, None, noted)
        first = (self.depth - 1) * self.directions * x.shape[1]
        steps = noted[first : first + x.shape[1]]
        return {name: torch.stack([step[name] for step in steps], dim=1) for name in steps[0]}

    @exact
    def run(self, x: Tensor, state: Any, lengths: Tensor | None) -> tuple[Tensor, Any]:
        """Compute by torch's kernels."""
        if lengths is None:
            return self.layers(x, state)
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        outputs, state = self.layers(packed, state)
        return pad_packed_sequence(outputs, batch_first=True, total_length=x.shape[1])[0], state

    def last(self, state: Any) -> Tensor:
        """Return what the last layer knows at the end of the text, both directions side by side, (B, H or 2 H)."""
        hidden = state if isinstance(state, Tensor) else state[0]
        return torch.cat(tuple(hidden[-self.directions :]), dim=-1)

    def walk(
        self, x: Tensor, state: Any, lengths: Tensor | None, noted: list[Gates] | None = None
    ) -> tuple[Tensor, Any]:
        """Compute by the equations, layer by layer and step by step; note the gates of each step where asked."""
        state = self.start(len(x)) if state is None else state
        given = [state] if isinstance(state, Tensor) else state
        ends: list[list[Tensor]] = []
        for layer in range(self.depth):
            found = []
            for direction in range(self.directions):
                start = [part[len(ends)] for part in given]
                suffix = f"l{layer}{'_reverse' * direction}"
                outputs, end = self.travel(x, start, suffix, lengths, noted)
                found.append(outputs)
                ends.append(end)
            x = torch.cat(found, dim=-1)
            if layer < self.depth - 1:
                x = F.dropout(x, self.between, self.training)
        parts = tuple(torch.stack(part) for part in zip(*ends, strict=True))
        return x, parts if len(parts) > 1 else parts[0]

    def start(self, rows: int) -> Any:
        """Return the state before the first step of so many texts: zeros, in the form in which `forward` returns it."""
        shape = (self.depth * self.directions, rows)
        like = self.layers.weight_hh_l0
        parts = [like.new_zeros(*shape, self.width) for _ in range(self.parts)]
        parts += [like.new_zeros(*shape, self.skip, self.width)] if self.skip else []
        return tuple(parts) if len(parts) > 1 else parts[0]

    def travel(
        self, x: Tensor, start: list[Tensor], suffix: str, lengths: Tensor | None, noted: list[Gates] | None
    ) -> tuple[Tensor, list[Tensor]]:
        """Go along the sequence with one layer in one direction; return its outputs (B, T, H) and where it ended."""
        names = (f"{kind}_{suffix}" for kind in ("weight_ih", "bias_ih", "weight_hh", "bias_hh"))
        into, into_bias, weight, bias = (getattr(self.layers, name) for name in names)
        projected = F.linear(x, into, into_bias)  # all steps at once: (B, T, gates * H)
        steps = range(x.shape[1])
        outputs: list[Tensor] = [x] * x.shape[1]
        state = start
        for t in reversed(steps) if suffix.endswith("reverse") else steps:
            new, gates = self.advance(projected[:, t], state, weight, bias)
            if noted is not None:
                noted.append(gates)
            if lengths is not None:
                real = (t < lengths).unsqueeze(-1)  # (B, 1)
                new = [torch.where(real.view(-1, *[1] * (a.dim() - 1)), a, b) for a, b in zip(new, state, strict=True)]
                outputs[t] = new[0] * real
            else:
                outputs[t] = new[0]
            state = new
        return torch.stack(outputs, dim=1), state

    def advance(self, x: Tensor, state: list[Tensor], weight: Tensor, bias: Tensor) -> tuple[list[Tensor], Gates]:
        """Return the state after one step, and the gates; with a skip, the states of the last steps move on by one."""
        if not self.skip:
            return self.step(x, state[0], state, weight, bias)
        past = state[-1]  # (B, skip, H), the oldest first; the newest is state[0]
        new, gates = self.step(x, state[0] + past[:, 0], state, weight, bias)
        return [*new, torch.cat((past[:, 1:], new[0].unsqueeze(1)), dim=1)], gates
