"""What is looked at: a model, a few pictures to explain, a larger sample, and the layer in question.

    h_l(x): output of layer l, maps (B, C, H, W) or units (B, D);  z(x) (B, C): logits;  c: a class, (B,)

Layers bear the names that `dl show` prints.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from itertools import takewhile
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dlcli.errors import ConfigError

SHOWN = 40  # names of layers in an error


class Call(NamedTuple):
    """One run of a layer without parts."""

    name: str
    module: nn.Module
    shape: torch.Size  # of what it put out


@contextmanager
def listening(model: nn.Module, chosen: Callable[[str, nn.Module], Any], note: Callable) -> Iterator[None]:
    """Call `note(name, module, output)` whenever a chosen layer of the model runs, while the context lasts.

    Layers that work in place would change what was noted before them; meanwhile they do not.
    """
    layers = [(name, module) for name, module in model.named_modules() if chosen(name, module)]
    inplace = [module for module in model.modules() if getattr(module, "inplace", False) is True]
    handles = [
        module.register_forward_hook(lambda m, _, output, name=name: note(name, m, output)) for name, module in layers
    ]
    try:
        for module in inplace:
            module.inplace = False  # type: ignore[assignment]
        yield
    finally:
        for module in inplace:
            module.inplace = True  # type: ignore[assignment]
        for handle in handles:
            handle.remove()


def calls(model: nn.Module, x: Tensor) -> list[Call]:
    """Return the layers without parts in the order in which they run."""
    found: list[Call] = []

    def note(name: str, module: nn.Module, output: Any) -> None:
        if isinstance(output, Tensor):
            found.append(Call(name, module, output.shape))

    with torch.no_grad(), listening(model, leaf, note):
        model(x)
    return found


def leaf(name: str, module: nn.Module) -> bool:
    """Tell whether a layer has no parts."""
    return next(module.children(), None) is None


def reads(module: nn.Module) -> int:
    """Return the number of dimensions of a layer's weights: 4 for a convolution, 2 for a linear layer, 0 for none."""
    weight = getattr(module, "weight", None)
    return weight.ndim if isinstance(weight, Tensor) and weight.ndim > 1 else 0


def output(model: nn.Module, layer: str, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return what a layer puts out when it first runs, and the logits, for x (B, ...).

    Where several looks at a picture are averaged, the first is the picture as it is. Raises ConfigError.
    """
    found: list[Tensor] = []
    with listening(model, lambda name, _: name == layer, lambda *call: found.append(call[2])):
        logits = model(x)
    if not found or not isinstance(found[0], Tensor):
        raise ConfigError(f"layer={layer}: it puts out no tensor when the model runs; choose another layer")
    return found[0], logits


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A classifier in evaluation mode, and the examples through which it is looked at."""

    model: nn.Module  # x (B, ...) -> logits (B, C); (B, 1) for two classes
    batch: Any  # few examples: x (B, ...) in [0, 1], y (B,)
    sample: Any  # more of them
    names: Sequence[str]  # of the classes
    layer: str | None = None

    @cached_property
    def calls(self) -> list[Call]:
        """The layers in the order in which they run."""
        return calls(self.model, self.batch.x[:2])

    @cached_property
    def convolutions(self) -> list[int]:
        """The places of the convolutions among the calls, as long as there are maps of more than one pixel."""
        found = [i for i, call in enumerate(self.calls) if reads(call.module) == 4 and len(call.shape) == 4]
        return [i for i in found if self.calls[i].shape[2:].numel() > 1]

    @cached_property
    def place(self) -> int:
        """The place of the last convolution among the calls, or of the last hidden layer, or of the only layer."""
        linear = [i for i, call in enumerate(self.calls) if reads(call.module) == 2]
        return (self.convolutions or linear[:-1] or linear or [len(self.calls) - 1])[-1]

    @cached_property
    def chosen(self) -> str:
        """The layer that the user names, or the one at `place` with its activation. Raises ConfigError if unknown."""
        return self.activated(self.place) if self.layer is None else known(self.model, self.layer)

    @cached_property
    def before(self) -> str:
        """The layer that the user names, or the one at `place` without its activation, whose slope may be zero."""
        return self.calls[self.place].name if self.layer is None else known(self.model, self.layer)

    def activated(self, place: int) -> str:
        """Return the name of a layer's norm or activation: of the last call after it that keeps the shape."""
        rest = self.calls[place + 1 :]
        own = takewhile(lambda call: call.shape == self.calls[place].shape and not reads(call.module), rest)
        return [self.calls[place], *own][-1].name

    @cached_property
    def guess(self) -> Tensor:
        """The class that the model names for each picture of the batch, (B,)."""
        with torch.no_grad():
            return answers(self.model(self.batch.x)).argmax(1)

    @cached_property
    def captions(self) -> list[str]:
        """What the model says, and the truth where that is something else."""
        pairs = zip(self.guess.tolist(), self.batch.y.tolist(), strict=True)
        return [self.names[g] + (f"\n({self.names[t]})" if g != t else "") for g, t in pairs]

    def score(self, x: Tensor, classes: Tensor) -> Tensor:
        """Return the logit of one class for each picture, (B,); classes are (B,), or (1,) for all pictures alike."""
        return answers(self.model(x)).gather(1, classes.expand(len(x))[:, None]).squeeze(1)


def answers(logits: Tensor) -> Tensor:
    """Return logits (B, C); of two classes with one logit z, those are -z/2 and z/2, with the same probabilities."""
    return torch.cat([-logits / 2, logits / 2], 1) if logits.shape[1] == 1 else logits


def known(model: nn.Module, layer: str) -> str:
    """Return the name of a layer. Raises ConfigError with the nearest names if there is none."""
    names = [name for name, _ in model.named_modules() if name]
    if layer in names:
        return layer
    near = get_close_matches(layer, names, 1, 0.5)
    hint = f"did you mean {near[0]}? " if near else ""
    rest = f", ... ({len(names)} in all)" if len(names) > SHOWN else ""
    raise ConfigError(f"layer={layer}: no such layer; {hint}layers: {', '.join(names[:SHOWN])}{rest}")


def slope(value: Tensor, x: Tensor) -> Tensor:
    """Return the gradient of a scalar; zero where it does not depend on x, as behind a step function."""
    return torch.autograd.grad(value, x, allow_unused=True, materialize_grads=True)[0]


def shares(heat: Tensor) -> Tensor:
    """Return maps (N, H, W), each divided by its largest absolute value."""
    return heat / heat.abs().amax((1, 2), keepdim=True).clamp(min=1e-12)


def shown(scene: Scene, row: int) -> list[str]:
    """Return the words of a text of the batch, or their numbers."""
    x = scene.batch.x[row]
    speech = getattr(scene.model, "speech", None)
    return speech.labels(x) if speech is not None else [str(n) for n in x[x != 0].tolist()]
