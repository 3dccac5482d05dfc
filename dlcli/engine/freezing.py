"""What stays as it is, and how far each layer lies from the output.

    rate of layer l = lr * layer_decay^(L - l)                       discriminative fine-tuning, and
    layer l begins to learn at progress thaw * (L - l) / (L - 1)     gradual unfreezing: Howard & Ruder 2018,
                                                                     arXiv:1801.06146
l counts the layers that learn from the input (1) to the output (L). A layer begins with a weight of two or more
dimensions; biases and norms belong to the layer that they stand in or follow.
"""

from collections.abc import Iterable
from difflib import get_close_matches

from torch import Tensor, nn

from dlcli.engine.lora import fits, is_factor, plain
from dlcli.errors import ConfigError


def freeze(model: nn.Module, frozen: Iterable[str], learn: Iterable[str]) -> list[nn.Module]:
    """Hold everything that is named like `frozen` or, if anything is named there, not like `learn`.

    Low-rank factors learn, and then nothing else does but what `learn` names. Return the normalization layers whose
    running statistics are held too: they must never train. Raises ConfigError for a pattern that fits nothing.
    """
    names = [name for name, _ in [*model.named_parameters(), *model.named_buffers()]]
    require(names, freeze=frozen, learn=learn)
    few = bool(learn) or any(map(is_factor, names))

    def held(name: str) -> bool:
        return fits(plain(name), frozen) or (few and not is_factor(name) and not fits(plain(name), learn))

    for name, p in model.named_parameters():
        if held(name):
            p.requires_grad_(False)
    norms = [(name, m) for name, m in model.named_modules() if getattr(m, "running_mean", None) is not None]
    return [layer for name, layer in norms if held(f"{name}.running_mean")]


def require(names: Iterable[str], **patterns: Iterable[str]) -> None:
    """Raise ConfigError, with the nearest names, for a pattern that is like none of the names."""
    known = [plain(name) for name in names]
    for key, pattern in ((key, str(pattern)) for key, given in patterns.items() for pattern in given):
        if not any(fits(name, [pattern]) for name in known):
            near = get_close_matches(pattern, known, 3, 0.4) or known[:3]
            raise ConfigError(
                f"{key}: nothing is named like {pattern}; there is {', '.join(near)}; `dl show` lists all"
            )


def heights(named: Iterable[tuple[str, Tensor]]) -> dict[int, int]:
    """Return how many layers lie between each parameter and the output, by the parameter's id."""
    named = list(named)
    layers = dict.fromkeys(layer_of(name) for name, p in named if p.ndim > 1)
    order = {layer: number for number, layer in enumerate(layers)}
    numbers, number = {}, 0
    for name, p in named:
        number = order.get(layer_of(name), number)
        numbers[id(p)] = number
    return {key: len(layers) - 1 - number for key, number in numbers.items()} if layers else numbers


def layer_of(name: str) -> str:
    """Return the module in which a parameter stands."""
    module, _, rest = name.partition(".parametrizations.")
    return module if rest else name.rpartition(".")[0]
