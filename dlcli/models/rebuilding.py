"""What all rules share that give back the clean example: their loss, their numbers, their pictures.

    given = corruption(x),  output = net(given),  rebuilt = f(output),  f the identity or the sigmoid
    gaussian:   loss = sum_i (rebuilt_i - x_i)^2                   (twice the nats at unit variance, without constant)
    bernoulli:  loss = -sum_i x_i log rebuilt_i + (1 - x_i) log(1 - rebuilt_i),   in nats

x, given, output, rebuilt (B, C, H, W) or (B, D). The target is always the clean x. Sums, not means, over the numbers of
an example: the squared error per picture is then the one that Hinton & Salakhutdinov (2006, Science 313) publish, and
penalties keep their published weights.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dlcli import losses, metrics
from dlcli.errors import ConfigError
from dlcli.model import Clock, Model, Update
from dlcli.models.vae import require_probabilities
from dlcli.samplers import as_picture

ROW = 8  # pictures
LARGEST = 2**24  # pixels of a picture that is restored in one piece: 6 GB in a U-Net


class Pass(NamedTuple):
    """One way through the net."""

    given: Tensor  # (B, ...), the corrupted x
    output: Tensor  # (B, ...), before the sigmoid if there is one
    loss: Tensor  # (B,)
    code: Tensor | None = None  # (B, Z)


class Rebuilding(Model):
    """Give back the clean example; what rebuilds it, the rule says in `through`."""

    rising = Model.rising | {"psnr", "ssim", "gain"}

    def __init__(
        self,
        *,
        corruption: Callable[[Tensor], Tensor] | None = None,
        likelihood: str = "gaussian",
        output: str = "identity",
    ):
        super().__init__()
        losses.likelihood(likelihood)  # refuses any other name
        if output not in ("identity", "sigmoid"):
            raise ConfigError(f"unknown output {output!r}: choose sigmoid (pixels in [0, 1]) or identity (any numbers)")
        if likelihood == "bernoulli" and output == "identity":
            raise ConfigError("likelihood=bernoulli needs probabilities; set model.output=sigmoid")
        self.corruption = corruption
        self.bernoulli, self.bounded = likelihood == "bernoulli", output == "sigmoid"

    @property
    def corrupts(self) -> bool:
        """Tell whether what the net is given differs from the target."""
        return changes(self.corruption)

    def corrupted(self, x: Tensor) -> Tensor:
        """Return what the net is given in place of x."""
        return x if self.corruption is None else self.corruption(x)

    def through(self, x: Tensor) -> Pass:
        """Corrupt x, rebuild it, and return what that costs."""
        raise NotImplementedError(f"{type(self).__name__} rebuilds nothing")

    def rebuild(self, x: Tensor) -> Tensor:
        """Return what the net makes of x as it is, in the shape of x."""
        raise NotImplementedError(f"{type(self).__name__} rebuilds nothing")

    def sample(self, n: int, sampler: Any) -> Tensor:
        """Return a picture of the user's as the net is given it, and what the net makes of it, (2, C, H, W)."""
        x, spoil = as_picture(sampler, self)
        x = x.to(next(self.parameters()).device)
        given = self.corrupted(fitting(self.corruption, x)) if spoil else formed(self.corruption, x)
        height, width = given.shape[-2:]
        if height * width > LARGEST:
            raise ConfigError(
                f"sampler.file: the picture would have {height:,} by {width:,} pixels, and at most {LARGEST:,} are "
                "made in one piece: cut it into parts"
            )
        return torch.cat([given, self.rebuild(given).clamp(0, 1)])

    def bound(self, output: Tensor) -> Tensor:
        """Return what an output of the net stands for."""
        return output.sigmoid() if self.bounded else output

    def cost(self, output: Tensor, x: Tensor) -> Tensor:
        """Return the loss of each example, (B, ...) -> (B,)."""
        if self.bernoulli:
            return -losses.bernoulli_log_likelihood(output, x)
        return squared(self.bound(output), x)

    def loss(self, batch: Any) -> Tensor:
        return self.through(batch.x).loss.mean()

    def updates(self, batch: Any, clock: Clock) -> Iterator[Update]:
        require_probabilities(batch.x, self.bernoulli and not clock.step)
        yield Update(self.loss(batch))

    def measure(self, batch: Any) -> dict[str, Tensor]:
        x = batch.x
        require_probabilities(x, self.bernoulli)
        found = self.through(x)
        rebuilt = self.bound(found.output)
        error = squared(rebuilt, x)
        measured = {"loss": found.loss, "error": error, "mse": error / x[0].numel()}
        if x.dim() == 4:
            measured |= quality(rebuilt, x)
            measured |= {f"input_{name}": v for name, v in quality(found.given, x).items()} if self.corrupts else {}
        return measured if found.code is None else measured | {"code": found.code, "truth": batch.y}

    def score(self, measured: dict[str, Tensor]) -> dict[str, float]:
        scores = means({name: v for name, v in measured.items() if name not in ("code", "truth")})
        return scores | ({"gain": scores["psnr"] - scores["input_psnr"]} if "input_psnr" in scores else {})

    def report(self, measured: dict[str, Tensor]) -> dict[str, Any]:
        if "input_psnr" not in measured:
            return {}
        ways = {"as given": "input_", "restored": ""}
        found = means({name: values for name, values in measured.items() if values.ndim == 1})
        return {"restoration": {way: {k: found[f"{tag}{k}"] for k in ("psnr", "ssim")} for way, tag in ways.items()}}

    def show(self, batch: Any) -> dict[str, Tensor | str]:
        """Return rows of pictures: what was given, what was made of it and, if that was corrupted, the target."""
        if batch.x.dim() != 4:
            return {}
        x = batch.x[: 4 * ROW]
        found = self.through(x)
        lines = [found.given, self.bound(found.output), *([x] if self.corrupts else [])]
        rows = zip(*(line.clamp(0, 1).split(ROW) for line in lines), strict=True)
        return {"restoration" if self.corrupts else "reconstruction": torch.cat([p for row in rows for p in row])}


def means(measured: dict[str, Tensor]) -> dict[str, float]:
    """Return the mean of each value over the examples, PSNR from the mean of the squared errors behind it.

    A single picture that is restored without error, such as a patch of plain sky, would else outweigh all others.
    """
    return {
        name: (metrics.pooled_psnr(values) if name.endswith("psnr") else values.double().mean()).item()
        for name, values in measured.items()
    }


def squared(guess: Tensor, x: Tensor) -> Tensor:
    """Return the squared error of each example, summed over its numbers, (B, ...) -> (B,)."""
    return (guess.float() - x).square().flatten(1).sum(1)


def quality(guess: Tensor, x: Tensor) -> dict[str, Tensor]:
    """Return PSNR and SSIM of each picture, (B, C, H, W) -> (B,) each."""
    guess = guess.float().clamp(0, 1)
    return {"psnr": metrics.psnr(guess, x), "ssim": metrics.ssim(guess, x)}


def changes(corruption: Any) -> bool:
    """Tell whether what comes out of a corruption differs from what goes in; a function of one's own is taken to."""
    return getattr(corruption, "changes", corruption is not None)


def unbounded(corruption: Any) -> Any:
    """Return a corruption for numbers that need not lie in [0, 1]; a function of one's own as it is."""
    return corruption.unbounded() if hasattr(corruption, "unbounded") else corruption


def fitting(corruption: Any, x: Tensor) -> Tensor:
    """Return the part of pictures that a corruption can be done to; a function of one's own takes all of them."""
    return corruption.fitting(x) if hasattr(corruption, "fitting") else x


def formed(corruption: Any, x: Tensor) -> Tensor:
    """Return pictures that came corrupted as a corruption would have left them; a function of one's own has no form."""
    return corruption.formed(x) if hasattr(corruption, "formed") else x
