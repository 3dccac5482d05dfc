"""Stacked autoencoders (Bengio et al. 2007, NIPS 19), denoising ones by choice (Vincent et al. 2010, JMLR 11).

    1  layer0, layer1, ...  -log p(h_i-1 | decoder_i(layer_i(corruption(h_i-1)))), the layers below frozen and clean
    2  head                 softmax on the frozen codes of the last layer; the decoders are dropped
    3  model                everything by backpropagation: cross-entropy with label smoothing

p is that of independent bits, whose targets lie in [0, 1] (`likelihood` bernoulli; sigmoid codes), or of real numbers
with unit variance and a linear decoder (`likelihood` gaussian; codes of any other activation). Numbers that need not
lie in [0, 1] are corrupted on their own scale: noise is not clipped, and white is the greatest of the batch.

The classifier is a net of its own that takes over the encoders at the end of their stages, so codes can be decoded
whatever the labels do to it. x (B, ...), h_i (B, widths[i]), logits (B, C), codes (B, widths[-1]). Not generative.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from dlcli import losses
from dlcli.errors import DataError
from dlcli.model import Clock, Update
from dlcli.models.classifier import Classifier
from dlcli.models.rebuilding import changes, unbounded
from dlcli.models.stages import (
    RECONSTRUCTION,
    Stages,
    beside,
    inherit,
    reconstructions,
    require_activations,
    require_widths,
)
from dlcli.models.supervised import linear_layers


class StackedAutoencoder(Classifier):
    """Learn autoencoders layer by layer, then a classifier on top of their encoders, then all of it together."""

    def __init__(
        self,
        *,
        net: nn.Module,
        autoencoders: Any,
        stages: Stages,
        classes: int,
        names: Sequence[str] | None = None,
        smoothing: float = 0.0,
        corruption: Callable[[Tensor], Tensor] | None = None,
        likelihood: str = "bernoulli",
    ):
        super().__init__(net=net, classes=classes, names=names, smoothing=smoothing)
        stages.require(len(autoencoders.widths))
        stages.refuse("updown", rule="StackedAutoencoder")
        require_widths(net, "autoencoders", autoencoders.widths)
        require_activations(net, autoencoders.activation, type(autoencoders.layers[0][-1]))
        self.autoencoders, self.stages, self.corruption = autoencoders, stages, corruption
        self.monitor = stages.monitor
        codes = "bernoulli" if autoencoders.activation == "sigmoid" else "gaussian"
        self.likelihoods = [likelihood, *[codes for _ in autoencoders.widths[1:]]]
        self.corruptions = [corruption if name == "bernoulli" else unbounded(corruption) for name in self.likelihoods]
        self.log_likelihoods = [losses.likelihood(name) for name in self.likelihoods]

    def notes(self) -> list[str]:
        """Say what may go wrong with these values."""
        sizes = [(layer.in_features, layer.out_features) for layer in self.autoencoders.decoders]
        wide = [f"{codes} codes for {inputs} numbers" for codes, inputs in sizes if codes >= inputs]
        if not wide or changes(self.corruption):
            return self.stages.notes()
        return [
            *self.stages.notes(),
            f"autoencoders with {', '.join(wide)} may learn the identity; take smaller model.autoencoders.widths, or "
            "corruption=masking",
        ]

    def players(self) -> dict[str, Any]:
        pairs = zip(self.autoencoders.layers, self.autoencoders.decoders, strict=True)
        layers = {f"layer{i}": [*layer.parameters(), *decoder.parameters()] for i, (layer, decoder) in enumerate(pairs)}
        return {**layers, "head": linear_layers(self.net)[-1].parameters(), "model": self.net.parameters()}

    def ahead(self, clock: Clock) -> list[str]:
        return self.stages.ahead(clock)

    def updates(self, batch: Any, clock: Clock) -> Iterator[Update]:
        now = self.stages.now(clock)
        if now.layer is None:
            yield Update(self.loss(batch), now.name)
            return
        with torch.no_grad():
            below = self.autoencoders.path(batch.x, now.layer)[-1]
        if now.begins:
            self.require_bits(below, now.layer)
        yield Update(self.rebuilding(below, now.layer), now.name)
        if now.ends:
            inherit(self.net, self.autoencoders.upward())

    def require_bits(self, below: Tensor, layer: int) -> None:
        """Raise DataError if what must lie in [0, 1] does not."""
        low, high = (bound.item() for bound in below.aminmax())
        if self.likelihoods[layer] == "bernoulli" and not 0 <= low <= high <= 1:
            raise DataError(
                f"likelihood=bernoulli needs numbers in [0, 1], and these reach from {low:.3g} to {high:.3g}; "
                "set model.likelihood=gaussian"
            )

    def rebuilding(self, below: Tensor, layer: int) -> Tensor:
        """Return the mean loss of one autoencoder on clean inputs (B, D), which it is given corrupted."""
        corruption = self.corruptions[layer]
        given = below if corruption is None else corruption(below)
        output = self.autoencoders.decoders[layer](self.autoencoders.layers[layer](given))
        return -self.log_likelihoods[layer](output.float(), below).mean()

    def down(self, codes: Tensor, layer: int) -> Tensor:
        """Return what the codes of one layer say about its inputs, (B, widths[i]) -> (B, widths[i-1])."""
        output = self.autoencoders.decoders[layer](codes)
        return output.sigmoid() if self.likelihoods[layer] == "bernoulli" else output

    def measure(self, batch: Any) -> dict[str, Tensor]:
        path = self.autoencoders.path(batch.x, len(self.likelihoods))
        errors = {
            f"{RECONSTRUCTION} {i}": (self.down(above, i) - below).square().mean(1)
            for i, (below, above) in enumerate(pairwise(path))
        }
        rebuilt = self.autoencoders.normalize(self.rebuild(batch.x)).flatten(1)
        return {**super().measure(batch), RECONSTRUCTION: (rebuilt - path[0]).square().mean(1), **errors}

    def score(self, measured: dict[str, Tensor]) -> dict[str, float]:
        return {**super().score(measured), **reconstructions(measured)}

    def show(self, batch: Any) -> dict[str, Tensor | str]:
        shown = super().show(batch)
        return {**shown, "reconstruction": beside(batch.x, self.rebuild(batch.x))} if batch.x.dim() == 4 else shown

    def embed(self, batch: Any) -> Tensor:
        return self.autoencoders(batch.x)

    def decode(self, codes: Tensor) -> Tensor:
        """Return what codes (B, Z) stand for, in the shape of x."""
        for layer in reversed(range(len(self.likelihoods))):
            codes = self.down(codes, layer)
        return self.autoencoders.leave(codes)

    def rebuild(self, x: Tensor) -> Tensor:
        """Return what all autoencoders together make of x, in its shape."""
        return self.decode(self.autoencoders(x))
