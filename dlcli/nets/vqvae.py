"""The nets of the VQ-VAE: maps of vectors in and out, the codebook, and a prior over codes.

    nearest(u) = argmin_k |u - e_k|,   running means over the vectors u that chose code k:  e_k = m_k / n_k,
    n_k <- decay n_k + (1 - decay) count,   m_k <- decay m_k + (1 - decay) sum of u      (van den Oord et al. 2017, A.1)

e (K, D) codebook; maps u (B, D, h, w); codes (B, h, w) in 0..K-1, read row by row: (B, T). The prior is a recurrent net
(GRU: Cho et al. 2014, arXiv:1406.1078): p(codes) = prod_t p(code_t | code_1 .. code_t-1). The paper has a PixelCNN.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlcli.nets.layers import Normalize, exact
from dlcli.nets.vae import convolution, expansions, halvings

RARE, FRESH = 0.5, 1.0  # vectors in a batch: a code that gets fewer begins anew, as if it had had so many


class MapEncoder(nn.Module):
    """One 4x4 convolution with stride 2 per entry of `widths`, then a 1x1 convolution to `latent` maps."""

    def __init__(
        self,
        *,
        channels: int,
        widths: Sequence[int],
        latent: int,
        activation: str = "relu",
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ):
        super().__init__()
        self.normalize = Normalize(mean=mean, std=std)
        halving = [convolution(*pair, activation) for pair in pairwise([channels, *widths])]
        self.layers = nn.Sequential(*halving, nn.Conv2d(widths[-1], latent, 1))

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, D, h, w)
        return self.layers(self.normalize(x))


class MapDecoder(nn.Module):
    """The mirror of `MapEncoder`; a 3x3 convolution lets neighbouring codes agree first."""

    def __init__(
        self,
        *,
        channels: int,
        height: int,
        width: int,
        widths: Sequence[int],
        latent: int,
        activation: str = "relu",
    ):
        super().__init__()
        doubling = expansions([channels, *widths], height, width, activation)
        self.layers = nn.Sequential(nn.Conv2d(latent, widths[-1], 3, padding=1), *doubling)

    def forward(self, maps: Tensor) -> Tensor:  # (B, D, h, w) -> (B, C, H, W)
        return self.layers(maps)


class Codebook(nn.Module):
    """K vectors: running means of what chose them, or, with decay=0, weights that a loss of their own moves."""

    vectors: Tensor  # (K, D)
    counts: Tensor  # (K,)
    sums: Tensor  # (K, D)

    def __init__(self, *, codes: int, latent: int, decay: float = 0.99):
        super().__init__()
        self.decay = decay
        vectors = torch.empty(codes, latent).uniform_(-1 / codes, 1 / codes)
        if not decay:
            self.vectors = nn.Parameter(vectors)
            return
        self.register_buffer("vectors", vectors)
        self.register_buffer("counts", torch.zeros(codes))
        self.register_buffer("sums", torch.zeros(codes, latent))

    @exact
    def nearest(self, maps: Tensor) -> Tensor:
        """Return the code next to each vector, (B, D, h, w) -> (B, h, w)."""
        flat = maps.detach().movedim(1, -1)  # (B, h, w, D)
        # |u - e|^2 without |u|^2, which is the same for all codes
        return (self.vectors.square().sum(1) - 2 * flat @ self.vectors.T).argmin(-1)

    def forward(self, codes: Tensor) -> Tensor:  # (B, h, w) -> (B, D, h, w)
        return F.embedding(codes, self.vectors).movedim(-1, 1)

    @exact
    @torch.no_grad()
    def follow(self, maps: Tensor, codes: Tensor, share: float = 1.0) -> None:
        """Move each vector to the running mean of those that chose it; one that hardly any did goes to one of them.

        The pieces of a batch, each a `share` of it, together forget as much as the whole would.
        """
        if not self.decay:
            return
        fresh = 1 - self.decay**share
        flat = maps.movedim(1, -1).flatten(0, -2)  # (N, D)
        chosen = F.one_hot(codes.flatten(), len(self.vectors)).to(flat.dtype)  # (N, K)
        self.counts.lerp_(chosen.sum(0) / share, fresh)
        self.sums.lerp_(chosen.T @ flat / share, fresh)
        idle = self.counts < RARE
        drawn = flat[torch.randint(len(flat), (len(idle),), device=flat.device)]
        self.sums[idle], self.counts[idle] = FRESH * drawn[idle], FRESH
        self.vectors.copy_(self.sums / self.counts.unsqueeze(1))


class Prior(nn.Module):
    """Guess each code of a grid from those before it, row by row, with a recurrent net of `hidden` units."""

    def __init__(
        self,
        *,
        codes: int,
        height: int,
        width: int,
        widths: Sequence[int],
        hidden: int = 128,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.grid = (halvings(height, len(widths))[-1], halvings(width, len(widths))[-1])
        self.codes = codes
        self.before = nn.Embedding(codes + 1, hidden)  # the last one stands for the beginning
        self.place = nn.Embedding(self.grid[0] * self.grid[1], hidden)
        self.recurrent = nn.GRU(hidden, hidden, batch_first=True)
        self.layers = nn.Sequential(nn.Dropout(dropout), nn.Linear(hidden, codes))

    def forward(self, codes: Tensor) -> Tensor:  # (B, T) -> logits (B, T, K)
        before = F.pad(codes[:, :-1], (1, 0), value=self.codes)
        return self.layers(self.read(self.before(before) + self.place.weight, None)[0])

    @exact
    def read(self, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Go along codes, (B, T, D) -> outputs (B, T, D), state (1, B, D)."""
        return self.recurrent(x, state)

    @torch.no_grad()
    def sample(self, n: int, temperature: float = 1.0) -> Tensor:
        """Draw grids of codes one code after the other, (n, h, w); below a temperature of 1 the likelier ones."""
        device = self.place.weight.device
        code, state, drawn = torch.full((n,), self.codes, device=device), None, []
        for place in self.place.weight:
            output, state = self.read((self.before(code) + place).unsqueeze(1), state)
            code = (self.layers(output[:, 0]).float() / temperature).softmax(1).multinomial(1)[:, 0]
            drawn.append(code)
        return torch.stack(drawn, 1).view(n, *self.grid)
