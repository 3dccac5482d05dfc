"""InfoGAN (Chen et al. 2016, arXiv:1606.03657): codes that must be readable in what is generated from them.

    both players descend their objective - w L,   L = E[log q(c | G(z, c))] <= I(c; G(z, c)) - H(c)

c: one of K categories, and F factors ~ U(-1, 1). q shares all layers of the critic but the last: its further outputs
(B, K + F) are logits of the category and means of factors with variance one. Without any label the categories tend to
become the kinds of examples there are. A code is (z, one-hot category, factors), (B, Z + K + F).
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dlcli import metrics
from dlcli.model import Model
from dlcli.models.gan import GAN, ROW


class InfoGAN(GAN):
    """Learn to generate from noise and from codes that mean something."""

    rising = Model.rising | {"category_read", "purity"}

    def __init__(self, *, categories: int = 10, factors: int = 2, weight: float = 1.0, **options: Any):
        self.extra = self.answers = categories + factors
        super().__init__(**options)
        self.categories, self.factors, self.weight = categories, factors, weight

    def code(self, z: Tensor, category: Tensor, factors: Tensor) -> Tensor:
        """Return codes of noise (n, Z), categories (n,) and factors (n, F)."""
        return torch.cat([z, F.one_hot(category, self.categories).to(z), factors.to(z)], 1)

    def draw(self, batch: Any) -> Tensor:
        z = super().draw(batch)
        category = torch.randint(self.categories, (len(z),), device=z.device)
        return self.code(z, category, 2 * torch.rand(len(z), self.factors, device=z.device) - 1)

    def guessing(self, answers: Tensor, told: Tensor, real: bool) -> Tensor | float:
        """Return -L, but for constants; nobody knows the codes of real examples."""
        if real:
            return 0.0
        category, factors = self.parted(answers)
        said, meant = self.parted(told)
        error = 0.5 * (factors - meant).square().sum(1).mean()
        return self.weight * (F.cross_entropy(category, said) + error)

    def parted(self, both: Tensor) -> tuple[Tensor, Tensor]:
        """Return what belongs to the category, (B, K), and to the factors, (B, F)."""
        return both[:, : self.categories], both[:, self.categories :]

    def guessed(self, of_real: Tensor, of_fake: Tensor, told: Tensor) -> dict[str, Tensor]:
        """Return the categories of real examples, whether those of samples are read back, and how well factors are."""
        (category, factors), (said, meant) = self.parted(of_fake), self.parted(told)
        found = {
            "category": self.parted(of_real)[0].argmax(1),
            "category_read": (category.argmax(1) == said.argmax(1)).float(),
        }
        return found | ({"factor_error": (factors - meant).square().mean(1)} if self.factors else {})

    def measure(self, batch: Any) -> dict[str, Tensor]:
        found = super().measure(batch)
        category = found.pop("category")
        if batch.y.dim() != 1 or batch.y.is_floating_point():
            return found
        return found | {"pair": torch.stack([batch.y, category], 1)}

    def score(self, measured: dict[str, Tensor]) -> dict[str, float]:
        scores = super().score(measured)
        return scores | ({"purity": purity(measured["pair"])} if "pair" in measured else {})

    def show(self, batch: Any) -> dict[str, Tensor | str]:
        """Return samples, and a row for each category, along which the first factor rises and all else stays."""
        shown = super().show(batch)
        return shown and {**shown, "codes": self.walk().clamp(0, 1)}

    def walk(self) -> Tensor:
        """Return a row of pictures for each category, (K ROW, C, H, W)."""
        z = torch.randn(1, self.latent).expand(self.categories * ROW, -1)
        factors = torch.zeros(len(z), self.factors)
        factors[:, :1] = torch.linspace(-1, 1, ROW).repeat(self.categories)[:, None]
        return self.generate(self.code(z, torch.arange(self.categories).repeat_interleave(ROW), factors))

    def sample(self, n: int, sampler: Any) -> Tensor:
        """Return samples; a label of the sampler is the number of a category."""
        z = sampler(n, self.latent)
        category = sampler.labels(n, [str(i) for i in range(self.categories)])
        return self.generate(self.code(z, category, 2 * torch.rand(n, self.factors) - 1))


def purity(pairs: Tensor) -> float:
    """Return the share of examples (class, category) that are of the commonest class of their category, (N, 2)."""
    classes = int(pairs.max()) + 1
    return metrics.confusion(pairs[:, 0], pairs[:, 1], classes).max(0).values.sum().item() / len(pairs)
