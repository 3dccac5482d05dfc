"""Bars and stripes (MacKay 2003, "Information Theory, Inference, and Learning Algorithms", section 43).

Toss a coin for the direction, then one for each row, or each column: is it on? Small enough for sums over all pictures.
On S x S pixels no model can have less than (S + 1 - 2^(1-S)) log 2 nats per picture on average: two pictures, all off
and all on, come about in both ways.
"""

from dataclasses import dataclass
from pathlib import Path

import torch

from dlcli.batch import Images
from dlcli.data.facts import class_facts, image_facts
from dlcli.data.splits import Splits
from dlcli.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Bars:
    """Draw pictures of `size` x `size` pixels, black and white."""

    size: int = 3
    samples: int = 500
    split_seed: int = 0

    def load(self, root: Path) -> Splits:
        """Draw the three splits by `split_seed`; `root` is not needed. Raises ConfigError."""
        if self.size < 2 or self.samples < 8:
            raise ConfigError(
                f"size={self.size}, samples={self.samples}: bars take at least 2 pixels and 8 samples; use size=3"
            )
        random = torch.Generator().manual_seed(self.split_seed)
        train, valid, test = (self._draw(random) for _ in range(3))
        return Splits(train, valid, test, image_facts(train.x) | class_facts(["bars", "stripes"]))

    def _draw(self, random: torch.Generator) -> Images:
        upright = torch.randint(2, (self.samples,), generator=random)
        on = torch.randint(2, (self.samples, self.size), generator=random)
        lying = on[:, :, None].expand(-1, -1, self.size)  # (N, S, S), each row in one colour
        x = torch.where(upright[:, None, None] == 1, lying.mT, lying)
        return Images((255 * x[:, None]).to(torch.uint8), upright)
