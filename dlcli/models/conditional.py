"""From a class to a text: vector to sequence.

    P(x_1 .. x_T, end | y) = prod_t P(x_t | x_1 .. x_t-1, y)

x (B, T) tokens, PAD after the end of a text; y (B,) its class. PAD stands before the first token as well, and is what
the net must say at the end, so that it knows when to stop. All values as in `dlcli.models.language`.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from dlcli import figures
from dlcli.batch import IGNORED, PAD
from dlcli.decoding import Step
from dlcli.errors import ConfigError
from dlcli.models.language import LanguageModel
from dlcli.samplers import Text, as_text

EACH = 3  # texts of each class in TensorBoard


class ConditionalWriter(LanguageModel):
    """Learn to write texts of a chosen class; the net takes tokens, a state and the class."""

    usual = 18  # texts

    def __init__(
        self, *, net: nn.Module, vocab: int, context: int, names: Sequence[str], vocabulary: str | None = None
    ):
        super().__init__(net=net, vocab=vocab, context=context + 1, vocabulary=vocabulary)
        self.names = [str(name) for name in names]
        if self.vocabulary is not None and self.vocabulary.pad != PAD:
            raise ConfigError("these texts have no token <pad>, with which they would end; choose data of many texts")

    @property
    def end(self) -> int:
        """The token after which a text is over."""
        return PAD

    def asked(self, batch: Any, state: Any = None) -> tuple[Tensor, Tensor, Any]:
        x = F.pad(batch.x, (1, 0), value=PAD)  # (B, T + 1)
        truth = F.pad(batch.x, (0, 1), value=PAD)
        over = F.pad((truth == PAD).cumsum(1)[:, :-1] > 0, (1, 0))  # after the first PAD, which ends the text
        logits, state = self.net(x, state, batch.y)
        return logits, truth.masked_fill(over, IGNORED), state

    def counts(self, batch: Any) -> Tensor | int:
        return (batch.x != PAD).sum() + batch.size  # the end of a text is asked for too

    def refuse(self, batch: Any) -> None:
        if batch.y.ndim > 1:
            raise ConfigError(
                "these data have an answer for each token, and not the class of a text; choose data=names"
            )

    def measure(self, batch: Any) -> dict[str, Tensor]:
        return super().measure(batch) | {"kind": batch.y}

    def report(self, measured: dict[str, Tensor]) -> dict[str, Any]:
        kinds, nats, counted = measured["kind"], measured["nats"].double(), measured["counted"]
        there = [(name, kinds == i) for i, name in enumerate(self.names) if bool((kinds == i).any())]
        told = counted.sum(0)
        return {
            "classes": {
                name: {"loss": (nats[mine].sum() / counted[mine].sum()).item(), "texts": int(mine.sum())}
                for name, mine in there
            },
            "positions": figures.positions((nats.sum(0) / told)[told > 0]),
        }

    def show(self, batch: Any) -> dict[str, Tensor | str]:
        texts = self.sample(EACH * len(self.names), Text(length=self.longest))
        return {"texts": "\n\n".join(texts)}

    def sample(self, n: int, sampler: Any) -> Any:
        kinds = self.kinds(n, as_text(sampler)).tolist()
        texts = super().sample(n, sampler)
        return [f"{self.names[kind]}: {text}" for kind, text in zip(kinds, texts, strict=False)]

    def stream(self, sampler: Any) -> Iterator[str]:
        yield f"{self.names[int(self.kinds(1, as_text(sampler))[0])]}: "
        yield from super().stream(sampler)

    def prompt(self, asked: Text) -> tuple[list[int], int]:
        given = self.read(asked)
        return [PAD, *given], 1

    def kinds(self, rows: int, asked: Text) -> Tensor:
        """Return the class of each text to write, (N,); the rows of a beam are of one class."""
        found = asked.labels(1 if asked.beam else rows, self.names)
        return (found.expand(rows) if asked.beam else found).to(self.device)

    def step(self, rows: int, asked: Text) -> Step:
        y = self.kinds(rows, asked)
        return lambda x, state: self.net(x, state, y)
