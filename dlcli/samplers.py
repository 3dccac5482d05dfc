"""Where in the latent space to draw: each class is called as `sampler(n, latent, encode)` and returns z (n, latent).

`Text` says how to write instead: a language model reads its fields.

`encode(count)` gives the codes of `count` examples; without it, the ends of an interpolation come from the prior.
A model that draws from chosen classes asks `labels(n, names)` as well: all of them one after the other, in equal
shares, or the one called `label`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor

from dlcli.errors import ConfigError

Encode = Callable[[int], Tensor]


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """A sampler that can say which class each sample is to be of; `label` is the name of a class."""

    label: str | int | None = None

    def labels(self, n: int, names: Sequence[str]) -> Tensor:
        """Return the class of each of `n` samples, (n,). Raises ConfigError for a class that there is not."""
        if self.label is None:
            return torch.arange(n) * len(names) // n
        if str(self.label) not in names:
            near = get_close_matches(str(self.label), names, 1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise ConfigError(f"sampler.label={self.label}: no such class; {hint}classes: {', '.join(names)}")
        return torch.full((n,), list(names).index(str(self.label)))


def refuse_label(sampler: Any, model: Any) -> None:
    """Raise ConfigError if a class is asked of a model that knows none."""
    if getattr(sampler, "label", None) is not None:
        raise ConfigError(
            f"sampler.label={sampler.label}: {type(model).__name__} draws from no chosen class; "
            "leave it out, or train a model that learns classes too, such as model=cvae"
        )


@dataclass(frozen=True, kw_only=True)
class Prior(Labelled):
    """Draw from the prior: z = temperature * N(0, 1). Below 1 the samples are more typical and less varied."""

    temperature: float = 1.0

    def __call__(self, n: int, latent: int, encode: Encode | None = None) -> Tensor:
        return self.temperature * torch.randn(n, latent)


@dataclass(frozen=True, kw_only=True)
class Interpolation(Labelled):
    """Walk between random pairs of codes in `steps` equal steps, one pair after the other.

    path=linear:    (1 - t) a + t b
    path=spherical: (sin((1 - t) w) a + sin(t w) b) / sin w, w the angle between a and b (Shoemake 1985). It keeps
                    the length that codes of the prior have: the straight line passes through atypically short ones.
    """

    steps: int = 8
    path: str = "spherical"

    def __post_init__(self) -> None:
        if self.path not in ("linear", "spherical"):
            raise ConfigError(f"unknown path {self.path!r}: choose linear or spherical")
        if self.steps < 2:
            raise ConfigError(f"steps={self.steps}: an interpolation needs both its ends, so at least 2 steps")

    def __call__(self, n: int, latent: int, encode: Encode | None = None) -> Tensor:
        pairs = -(-n // self.steps)
        ends = torch.randn(2 * pairs, latent) if encode is None else encode(2 * pairs)
        first, last = ends.view(pairs, 2, 1, latent).unbind(1)  # (pairs, 1, latent) each
        share = torch.linspace(0, 1, self.steps, device=ends.device).view(1, -1, 1)
        walk = linear if self.path == "linear" else spherical
        return walk(first, last, share).reshape(-1, latent)[:n]


def linear(first: Tensor, last: Tensor, share: Tensor) -> Tensor:
    """Return the points at `share` of the straight line."""
    return first + share * (last - first)


def spherical(first: Tensor, last: Tensor, share: Tensor) -> Tensor:
    """Return the points at `share` of the arc; a straight line where the ends are parallel."""
    angle = torch.cosine_similarity(first, last, dim=-1).clamp(-1, 1).acos().unsqueeze(-1)
    arc = (((1 - share) * angle).sin() * first + (share * angle).sin() * last) / angle.sin()
    return torch.where(angle.sin() < 1e-4, linear(first, last, share), arc)


@dataclass(frozen=True, kw_only=True)
class Manifold(Labelled):
    """Lay a square grid over a latent space of two dimensions, its lines at equal shares of the prior's mass.

    The unit square goes through the inverse of the normal distribution function (Kingma & Welling 2014, figure 4).
    """

    def __call__(self, n: int, latent: int, encode: Encode | None = None) -> Tensor:
        if latent != 2:
            raise ConfigError(
                f"sampler=manifold draws a plane, but the model has latent={latent}; "
                "train one with model.latent=2, or use sampler=prior or sampler=interpolation"
            )
        side = next(k for k in range(1, n + 2) if k * k >= n)
        line = torch.special.ndtri((torch.arange(side) + 0.5) / side)
        return torch.cartesian_prod(line, line)[:n]


@dataclass(frozen=True, kw_only=True)
class Gibbs(Labelled):
    """Run the chain of a Boltzmann machine for `steps` steps, from noise or from stored training examples.

    A machine reads `steps` and `start` and does the walking; the codes are where its hidden units start.
    """

    steps: int = 1000
    start: str = "noise"

    def __post_init__(self) -> None:
        if self.start not in ("noise", "examples"):
            raise ConfigError(f"unknown start {self.start!r}: choose noise or examples")
        if self.steps < 1:
            raise ConfigError(f"steps={self.steps}: a chain takes at least 1 step")

    def __call__(self, n: int, latent: int, encode: Encode | None = None) -> Tensor:
        return torch.rand(n, latent).round() if self.start == "noise" or encode is None else encode(n)


def chain(sampler: Any, steps: int) -> Any:
    """Return a chain of so many steps in place of the prior, which no Boltzmann machine has; others as they are."""
    if not isinstance(sampler, Prior):
        return sampler
    if sampler.temperature != 1:
        raise ConfigError(
            f"sampler.temperature={sampler.temperature:g}: it scales codes from a prior, and a Boltzmann machine draws "
            "by a chain at temperature 1; leave it out"
        )
    return Gibbs(steps=steps)


@dataclass(frozen=True, kw_only=True)
class Text(Labelled):
    """Write text after a prompt, or after what a file holds; `dlcli.decoding` says what the numbers mean."""

    prompt: str | None = None
    file: str | None = None
    length: int = 300
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    beam: int | None = None
    repetition: float = 1.0

    def __post_init__(self) -> None:
        if self.prompt is not None and self.file is not None:
            raise ConfigError("sampler.prompt and sampler.file: one beginning only; drop one of them")
        if not 0 <= self.temperature < float("inf"):
            raise ConfigError(f"sampler.temperature={self.temperature}: 0 (the most probable token) or a number above")
        for name, low, value in (("length", 1, self.length), ("top_k", 1, self.top_k), ("beam", 1, self.beam)):
            if value is not None and value < low:
                raise ConfigError(f"sampler.{name}={value}: must be {low} or more")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ConfigError(f"sampler.top_p={self.top_p}: a probability, above 0 and up to 1")
        if self.repetition < 1:
            raise ConfigError(f"sampler.repetition={self.repetition}: 1 (no penalty) or more")

    @property
    def altered(self) -> bool:
        """Whether it changes the probabilities that tokens are drawn by, which a search for the likeliest cannot do."""
        return (self.temperature, self.top_k, self.top_p, self.repetition) != (1, None, None, 1)

    def given(self) -> str:
        """Return the text to go on from; who reads the sampler puts the text of its file there."""
        return str(self.prompt or "")

    def __call__(self, n: int, latent: int, encode: Encode | None = None) -> Tensor:
        raise ConfigError(
            "sampler=text is for models that write; this one draws codes: sampler=prior, or interpolation"
        )


def as_text(sampler: Any) -> Text:
    """Return a sampler of text; of the prior, temperature and label are kept. Raises ConfigError for other kinds."""
    if isinstance(sampler, Text):
        return sampler
    if not isinstance(sampler, Prior):
        raise ConfigError(f"sampler={type(sampler).__name__.lower()}: this run knows texts; take sampler=text")
    kept = {name: value for name in ("temperature", "label") if (value := getattr(sampler, name, None)) is not None}
    return Text(**kept)


def refuse_writing(asked: Text, answers: str) -> None:
    """Raise ConfigError if a sampler says how to write, of a model that answers by other means."""
    how = ("length", "temperature", "top_k", "top_p", "beam", "repetition")
    if said := [name for name in how if getattr(asked, name) != getattr(Text, name)]:
        values = ", ".join(f"sampler.{name}={getattr(asked, name)}" for name in said)
        it = "it" if len(said) == 1 else "them"
        raise ConfigError(f"{values}: {answers}, and nothing is written; leave {it} out")


@dataclass(frozen=True, kw_only=True)
class Picture(Labelled):
    """Take a picture of the user's own, for models that restore or translate; with `spoil` it is corrupted first."""

    file: str
    spoil: bool = False
    pixels: Tensor | None = None  # (1, C, H, W), which who reads the sampler puts there

    def __call__(self, n: int, latent: int, encode: Encode | None = None) -> Tensor:
        raise ConfigError(
            "sampler=picture is for models that restore or translate pictures, such as model=restoration; this one "
            "draws codes: sampler=prior, or interpolation"
        )


def as_picture(sampler: Any, model: Any) -> tuple[Tensor, bool]:
    """Return the pixels of a picture (1, C, H, W), and whether to corrupt it. Raises ConfigError for other samplers."""
    if not isinstance(sampler, Picture) or sampler.pixels is None:
        raise ConfigError(
            f"a {type(model).__name__} works on a picture that it is given: dl sample sampler=picture "
            "sampler.file=PHOTO.png"
        )
    return sampler.pixels, sampler.spoil
