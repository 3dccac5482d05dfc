"""Attacks on few places of a picture: eps counts the places (H, W) whose pixels may change, by any amount.

JSMA (Papernot et al. 2016, arXiv:1511.07528), one place at a time. With target t (without one: the runner-up):

    a = dz_t / dx,  b = d sum_{j != t} z_j / dx        raise the pixel of largest -a b among a > 0 > b, or
                                                        lower that among a < 0 < b

As a pixel goes all the way to black or white here, what it promises is its saliency times the room that is left to it:
the paper steps by a fixed amount, for which the room does not matter.

OnePixel (Su et al. 2019, arXiv:1710.08864): differential evolution over places and colours; needs outputs only.

    child = p_1 + F (p_2 - p_3)         p: parents (row, column, colours); the better stays
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dlcli.attacks.best import Best, Cases
from dlcli.attacks.objective import Classifier, read, slope
from dlcli.attacks.randomness import uniform
from dlcli.attacks.threat import Attack, demand, demand_counts, rivals

MUTATION = 0.5  # F


@dataclass(frozen=True, kw_only=True)
class Places(Attack):
    """An attack on at most `eps` places."""

    norms: ClassVar[tuple[str, ...]] = ("l0",)

    norm: str = "l0"

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        super().__post_init__()
        demand(self.eps == int(self.eps), "eps", self.eps, "a whole number of places", 5)


@dataclass(frozen=True, kw_only=True)
class JSMA(Places):
    """Set one pixel after the other to black or white, each time the most salient."""

    def search(self, classifier: Classifier, cases: Cases) -> Tensor:
        """Return the pictures of lowest margin."""
        logits = read(classifier, cases.x)
        aim = rivals(logits, cases.y)[:, 0] if cases.target is None else cases.target
        best = Best(cases.x, cases.margin(logits), self.stop)
        rows, here = best.open(), cases.x[best.open()]
        for _ in range(min(int(self.eps), cases.x[0, 0].numel())):
            if not len(rows):
                break
            part = cases.at(rows)
            here = self._changed(classifier, here, part.x, aim[rows])
            going = best.offer(rows, here, part.margin(read(classifier, here)))
            rows, here = rows[going], here[going]
        return best.x

    def _changed(self, classifier: Classifier, here: Tensor, x: Tensor, aim: Tensor) -> Tensor:
        """Return the pictures with one more place changed, in all channels that help."""
        wanted, _ = slope(classifier, here, lambda logits: logits.gather(1, aim.unsqueeze(1)))
        whole, _ = slope(classifier, here, lambda logits: logits)
        other = whole - wanted
        room = torch.where(wanted > 0, 1 - here, here)
        saliency = (-wanted * other).where((wanted * other < 0) & (room > 0), 0) * room
        saliency = saliency.masked_fill((here != x).any(1, keepdim=True), 0)  # each place once
        place = saliency.sum(1).flatten(1).argmax(1)  # (B,)
        chosen = torch.zeros_like(saliency.sum(1).flatten(1)).scatter(1, place.unsqueeze(1), 1)
        chosen = chosen.view(len(x), 1, *x.shape[2:]).bool() & (saliency > 0)
        return torch.where(chosen, (wanted > 0).float(), here)


@dataclass(frozen=True, kw_only=True)
class OnePixel(Places):
    """Breed `population` candidates for `steps` generations."""

    gradients: ClassVar[bool] = False

    steps: int = 50
    population: int = 50

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        super().__post_init__()
        demand_counts(self, steps=50)
        demand(self.population >= 4, "population", self.population, "at least 4, three parents and a child", 50)

    def search(self, classifier: Classifier, cases: Cases) -> Tensor:
        """Return the pictures of lowest margin."""
        best = Best(cases.x, cases.margin(read(classifier, cases.x)), self.stop)
        rows = best.open()
        genes = self._draw(cases.at(rows), -2, self._size(cases.x))
        values = self._values(classifier, cases.at(rows), genes, rows, best)
        for generation in range(self.steps):
            going = torch.isin(rows, best.open())
            rows, genes, values = rows[going], genes[going], values[going]
            if not len(rows):
                break
            part = cases.at(rows)
            children = self._children(genes, part, generation)
            bred = self._values(classifier, part, children, rows, best)
            better = (bred < values).unsqueeze(2)
            genes, values = torch.where(better, children, genes), torch.minimum(bred, values)
        return best.x

    def _size(self, x: Tensor) -> int:
        """Count the numbers of a candidate: row, column and colours of each place."""
        return int(self.eps) * (2 + x.shape[1])

    def _draw(self, cases: Cases, stream: int, size: int) -> Tensor:
        """Return (B, population, size) numbers in (0, 1)."""
        draw = uniform(self.seed, stream, cases.numbers, self.population * size)
        return draw.view(-1, self.population, size)

    def _children(self, genes: Tensor, cases: Cases, generation: int) -> Tensor:
        """Return a child for each candidate."""
        parents = (self._draw(cases, generation, 3) * self.population).long()  # (B, population, 3)
        first, second, third = (
            genes.gather(1, parents[:, :, i : i + 1].expand(-1, -1, genes.shape[2])) for i in range(3)
        )
        return (first + MUTATION * (second - third)).clamp(0, 1 - 1e-6)

    def _values(self, classifier: Classifier, cases: Cases, genes: Tensor, rows: Tensor, best: Best) -> Tensor:
        """Return the margins (B, population) of candidates, and offer the best of each example."""
        if not len(rows):
            return genes.new_zeros(0, self.population)
        pictures = self._pictures(cases.x, genes)  # (B, population, C, H, W)
        repeated = cases.at(torch.arange(len(rows), device=rows.device).repeat_interleave(self.population))
        values = repeated.margin(read(classifier, pictures.flatten(0, 1))).view(len(rows), self.population)
        first = values.argmin(1)
        some = torch.arange(len(rows), device=rows.device)
        best.offer(rows, pictures[some, first], values[some, first])
        return values

    def _pictures(self, x: Tensor, genes: Tensor) -> Tensor:
        """Paint the candidates."""
        count, channels, height, width = x.shape
        spots = genes.view(count, self.population, int(self.eps), 2 + channels)
        place = (spots[..., 0] * height).long() * width + (spots[..., 1] * width).long()  # (B, population, eps)
        place = place.unsqueeze(2).expand(-1, -1, channels, -1)
        flat = x.flatten(2).unsqueeze(1).expand(-1, self.population, -1, -1)
        return flat.scatter(3, place, spots[..., 2:].transpose(2, 3)).view(count, self.population, *x.shape[1:])
