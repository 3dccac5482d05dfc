"""What the rules that learn from a teacher share: features of the last hidden layer, and what they show."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from dlcli.errors import ConfigError
from dlcli.text import printable


def linear_layers(net: nn.Module) -> list[nn.Linear]:
    """Return the linear layers of a net; raise ConfigError if there is none."""
    layers = [layer for layer in net.modules() if isinstance(layer, nn.Linear)]
    if not layers:
        raise ConfigError(f"{type(net).__name__} has no linear layer, hence no last hidden layer; choose another net")
    return layers


@contextmanager
def inputs_of(layers: list[nn.Linear]) -> Iterator[list[Tensor]]:
    """Collect what the layers are given, in the order of their calls, while the context lasts."""
    seen: list[Tensor] = []
    handles = [layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0])) for layer in layers]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def last_hidden(net: nn.Module, x: Tensor) -> Tensor:
    """Return the input of the linear layer that is called last: the features that it reads, (B, D)."""
    with inputs_of(linear_layers(net)) as seen:
        net(x)
    return seen[-1].flatten(1)


def one_class(y: Tensor) -> Tensor:
    """Return classes (B,) as they are. Raises ConfigError where an augmentation mixed several in an example."""
    if y.ndim != 1 or y.is_floating_point():
        raise ConfigError("this model learns from one class for each example, not from mixtures; set augment=none")
    return y


def answers(
    x: Tensor, guess: Iterable[str], truth: Iterable[str], *, spell: Callable[[Tensor], str] | None = None
) -> dict[str, Tensor | str]:
    """Return the pictures, if x (B, C, H, W) holds some, and a table of predicted and true answers in Markdown.

    Where x (B, T) holds texts, `spell` says what they are, and the table has them too.
    """
    texts = [f" {printable(spell(row)).replace('|', chr(92) + '|')} |" for row in x] if spell else [""] * len(x)
    rows = [f"| {i} | {g} | {t} |{text}" for i, (g, t, text) in enumerate(zip(guess, truth, texts, strict=True))]
    head = ["| | predicted | true |", "|--|--|--|"]
    table = "\n".join([*([head[0] + " text |", head[1] + "--|"] if spell else head), *rows])
    return {"input": x, "answers": table} if x.dim() == 4 else {"answers": table}
