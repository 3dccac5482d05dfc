"""Fully connected nets: the linear map and the multi-layer perceptron (Rumelhart, Hinton & Williams 1986).

    h_0 = x,  h_i = f(norm(W_i h_(i-1) + b_i)),  output = W h_last + b

x (B, D) or anything that flattens to it, h_i (B, widths[i]), output (B, outputs): logits, or standardized targets.
"""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from dlcli.nets.layers import Normalize, activation, norm


class MLP(nn.Module):
    """Hidden layers of the given widths, then a linear output."""

    head: type[nn.Module] = nn.Linear  # of the last features, to the outputs

    def __init__(
        self,
        *,
        inputs: int,
        widths: Sequence[int],
        outputs: int,
        activation: str = "relu",
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        norm: str = "none",
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ):
        super().__init__()
        self.normalize = Normalize(mean=mean, std=std)
        sizes = [inputs, *widths]
        hidden = [layer for pair in pairwise(sizes) for layer in block(*pair, activation, norm, dropout)]
        drop = [nn.Dropout(input_dropout)] if input_dropout else []
        self.layers = nn.Sequential(nn.Flatten(), *drop, *hidden, self.head(sizes[-1], outputs))

    def forward(self, x: Tensor) -> Tensor:  # (B, ...) -> (B, outputs)
        return self.layers(self.normalize(x))


def block(fan_in: int, fan_out: int, function: str, normal: str, dropout: float) -> list[nn.Module]:
    """Return one hidden layer; the norm stands before the activation (Ioffe & Szegedy 2015)."""
    layers: list[nn.Module] = [nn.Linear(fan_in, fan_out)]
    if normal != "none":
        layers.append(norm(normal, fan_out, dims=1))
    layers.append(activation(function, fan_out))
    if dropout:
        layers.append(nn.Dropout(dropout))
    return layers


class Linear(MLP):
    """No hidden layer: linear, logistic or softmax regression, as the learning rule decides."""

    def __init__(
        self,
        *,
        inputs: int,
        outputs: int,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ):
        super().__init__(inputs=inputs, widths=[], outputs=outputs, mean=mean, std=std)
