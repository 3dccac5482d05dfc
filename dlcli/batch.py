"""What flows from data to models: named tuples of tensors, shapes beside the fields.

B batch, C channels or classes, H height, W width, T time, S time of the source, D features, K targets, L labels.
"""

from typing import NamedTuple

from torch import Tensor

PAD = 0  # the token after the end of a text, where a vocabulary has one
IGNORED = -1  # the answer that no loss counts


class Images(NamedTuple):
    """Pictures and what they show."""

    x: Tensor  # (B, C, H, W), float in [0, 1]; uint8 in [0, 255] while it rests in a data set
    y: Tensor  # (B,) int64, index of the class; (B, C) float, probabilities, where pictures were mixed

    @property
    def size(self) -> int:
        """The number of examples (`len` of a named tuple counts its fields)."""
        return len(self.x)


class Masks(NamedTuple):
    """Pictures, what each of their pixels shows, and how much each pixel counts."""

    x: Tensor  # (B, C, H, W), as in Images
    y: Tensor  # (B, H, W) int64, index of the class of each pixel; uint8 while it rests in a data set
    w: Tensor  # (B, H, W) float, weight of each pixel in the loss

    @property
    def size(self) -> int:
        """The number of pictures."""
        return len(self.x)


class Pairs(NamedTuple):
    """Pictures of one domain beside pictures of another, to translate between them."""

    x: Tensor  # (B, C, H, W), as in Images
    y: Tensor  # (B,) int64, index of the class of x
    other: Tensor  # (B, C, H, W), of the other domain: what x becomes where the data are paired, else any of them

    @property
    def size(self) -> int:
        """The number of pictures of each domain."""
        return len(self.x)


class Signals(NamedTuple):
    """Recordings and what they are of."""

    x: Tensor  # (B, C, T) float in [-1, 1]
    y: Tensor  # (B,) int64, index of the class

    @property
    def size(self) -> int:
        """The number of recordings."""
        return len(self.x)


class Table(NamedTuple):
    """Rows of numbers and what is to be predicted from them."""

    x: Tensor  # (B, D) float
    y: Tensor  # (B,) int64 class; (B, L) float labels in {0, 1}; or (B, K) float targets

    @property
    def size(self) -> int:
        """The number of rows."""
        return len(self.x)


class Tokens(NamedTuple):
    """Texts as the numbers of their tokens, and what they are of."""

    x: Tensor  # (B, T) int64, PAD after the end of a text; int32 while it rests in a data set
    y: Tensor  # (B,) int64, index of the class; (B, T) int64, the answer for each token, IGNORED where none is asked

    @property
    def size(self) -> int:
        """The number of texts."""
        return len(self.x)


class Translations(NamedTuple):
    """Texts as the numbers of their tokens, and each in another language, or in another form."""

    x: Tensor  # (B, S) int64, PAD after the end of a text; int32 while it rests in a data set
    y: Tensor  # (B, T) int64, from BEGIN to END, PAD after it

    @property
    def size(self) -> int:
        """The number of pairs."""
        return len(self.x)
