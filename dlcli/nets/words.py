"""Two vectors for each word: what it is in the middle, and what it is as the company of others."""

import torch
from torch import Tensor, nn


class WordTables(nn.Module):
    """Hold `embedding` and `context`, (V, D) each, and if wanted a bias of every word in either place, (V, 1)."""

    def __init__(self, *, vocab: int, width: int = 64, bias: bool = False):
        super().__init__()
        self.embedding = nn.Embedding(vocab, width)
        self.context = nn.Embedding(vocab, width)
        for table in (self.embedding, self.context):
            nn.init.uniform_(table.weight, -0.5 / width, 0.5 / width)
        self.biases = nn.ModuleList(nn.Embedding(vocab, 1, _weight=torch.zeros(vocab, 1)) for _ in range(2 * bias))

    def forward(self, x: Tensor) -> Tensor:  # (B, T) -> (B, T, T), of each word in the middle with each beside it
        scores = self.embedding(x) @ self.context(x).mT
        if not self.biases:
            return scores
        middle, beside = (table(x) for table in self.biases)
        return scores + middle + beside.mT
