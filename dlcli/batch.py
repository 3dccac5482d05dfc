"""What flows from data to models: named tuples of tensors, shapes beside the fields.

B batch, C channels or classes, H height, W width, D features, K targets, L labels.
"""

from typing import NamedTuple

from torch import Tensor


class Images(NamedTuple):
    """Pictures and what they show."""

    x: Tensor  # (B, C, H, W), float in [0, 1]; uint8 in [0, 255] while it rests in a data set
    y: Tensor  # (B,) int64, index of the class

    @property
    def size(self) -> int:
        """The number of examples (`len` of a named tuple counts its fields)."""
        return len(self.x)


class Table(NamedTuple):
    """Rows of numbers and what is to be predicted from them."""

    x: Tensor  # (B, D) float
    y: Tensor  # (B,) int64 class; (B, L) float labels in {0, 1}; or (B, K) float targets

    @property
    def size(self) -> int:
        """The number of rows."""
        return len(self.x)
