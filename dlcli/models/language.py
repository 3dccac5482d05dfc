"""Language models: the probability of a text, token by token, and new text from it.

    P(x_1 .. x_T) = prod_t P(x_t | x_1 .. x_t-1),    loss = -1/T sum_t log P(x_t | ...)  in nats per token
    perplexity = exp(loss);   bits per character, or byte = (sum_t -log2 P) / (characters, or bytes, of the text)

x (B, T) tokens, y (B, T) the token after each, IGNORED where none is asked; the net returns logits (B, T, V) and a
state. Truncated backpropagation through time (Williams & Peng 1990): with `carry` each row of a batch goes on where the
same row of the last batch ended, with its state but without its gradient; the data must come in that order. An epoch,
and every evaluation, starts anew.
"""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlcli import figures
from dlcli.batch import IGNORED, Tokens
from dlcli.errors import ConfigError
from dlcli.losses import single
from dlcli.model import Clock, Model, Update
from dlcli.models.writing import Writing
from dlcli.tokens import Vocabulary

AT_ONCE = 8192  # tokens that go through the net together in an evaluation
LOOKED = 32  # examples through which the gradient is followed
SHOWN = 32  # tokens in a picture of attention or of gates
DRAWN = 6  # layers and heads in it
CONTINUED = 96  # tokens that are written in a picture of the training
BIT = 0.6931471805599453  # nats


class LanguageModel(Writing, Model):
    """Learn to tell the next token with any net that returns logits and a state."""

    talks = True
    local = frozenset({"carried"})
    sizes: Tensor

    def __init__(
        self,
        *,
        net: nn.Module,
        vocab: int,
        context: int,
        vocabulary: str | None = None,
        carry: bool = False,
        rows: int = 1,
    ):
        super().__init__()
        self.net: Any = net
        self.vocab, self.longest = vocab, context
        self.vocabulary = None if vocabulary is None else Vocabulary.read(vocabulary)
        if self.vocabulary is not None and len(self.vocabulary) != vocab:
            raise ConfigError(f"vocab={vocab}, but the vocabulary has {len(self.vocabulary)} tokens; set vocab to that")
        self.register_buffer("sizes", sizes(self.vocabulary), persistent=False)  # (V, 2)
        self.carried = Carried(net, rows) if carry else None

    def asked(self, batch: Any, state: Any = None) -> tuple[Tensor, Tensor, Any]:
        """Return logits (B, T, V), the tokens that should have come (B, T), and the state after them."""
        logits, state = self.net(batch.x, state)
        return logits, batch.y, state

    def loss(self, batch: Any) -> Tensor:
        logits, truth, _ = self.asked(batch)
        return F.cross_entropy(single(logits).flatten(0, 1), truth.flatten(), ignore_index=IGNORED)

    def counts(self, batch: Any) -> Tensor | int:
        return (batch.y != IGNORED).sum()

    def updates(self, batch: Any, clock: Clock) -> Iterator[Update]:
        if self.carried is None:
            yield Update(self.loss(batch))
            return
        logits, truth, state = self.asked(batch, self.carried.recall(batch, clock.epoch))
        yield Update(F.cross_entropy(single(logits).flatten(0, 1), truth.flatten(), ignore_index=IGNORED))
        self.carried.keep(state, truth[:, -1])

    def measure(self, batch: Any) -> dict[str, Tensor]:
        self.refuse(batch)
        rows = max(1, AT_ONCE // batch.x.shape[1])
        parts = [self.nats(Tokens(*part)) for part in zip(batch.x.split(rows), batch.y.split(rows), strict=True)]
        nats, truth = (torch.cat(column) for column in zip(*parts, strict=True))
        counted = truth != IGNORED
        found = {"loss": nats.sum(1) / counted.sum(1).clamp(min=1)}
        # batches are cut to their longest text: all must be of one length to stand in one table
        tables = {"nats": nats, "counted": counted, "x": batch.x}
        found |= {name: F.pad(table, (0, self.longest - table.shape[1])) for name, table in tables.items()}
        if self.vocabulary is None:
            return found
        known = self.sizes[truth.clamp(min=0)] * counted[..., None]  # (B, T, 2)
        return found | {"characters": known[..., 0].sum(1), "bytes": known[..., 1].sum(1)}

    def nats(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Return what each token costs and which it is, (B, T) each."""
        logits, truth, _ = self.asked(batch)
        return F.cross_entropy(logits.mT.float(), truth, ignore_index=IGNORED, reduction="none"), truth

    def refuse(self, batch: Any) -> None:
        """Raise ConfigError for data that do not say what comes after each token."""
        if batch.y.shape != batch.x.shape:
            raise ConfigError(
                "these data have one answer for a whole text, and a language model needs one for each token; "
                "choose prose, such as data=topics, or model=name_writer"
            )

    def score(self, measured: dict[str, Tensor]) -> dict[str, float]:
        nats = measured["nats"].double().sum()
        loss = nats / measured["counted"].sum()
        scores = {"loss": loss.item(), "perplexity": loss.exp().item()}
        for unit in ("characters", "bytes"):
            if unit in measured and (count := measured[unit].sum()) > 0:
                scores[f"bits_per_{unit.removesuffix('s')}"] = (nats / BIT / count).item()
        return scores

    def report(self, measured: dict[str, Tensor]) -> dict[str, Any]:
        counted, nats = measured["counted"], measured["nats"].double()
        told = counted.sum(0)
        found: dict[str, Any] = {"positions": figures.positions((nats.sum(0) / told)[told > 0])}
        whole = measured["x"][counted.all(1)][:LOOKED].to(self.device)
        if len(whole) and whole.shape[1] > 1:
            found["fading"] = figures.fading({type(self.net).__name__: self.fading(whole)})
        x = measured["x"][:1, :SHOWN].to(self.device)
        if hasattr(self.net, "attention"):
            with torch.no_grad():
                shares = self.net.attention(x)[0].float().cpu()  # (layers, heads, T, T)
            found["attention"] = figures.heads(shares[:DRAWN, :DRAWN], self.spelled(x[0].tolist()))
        if hasattr(self.net, "gates") and (opened := self.net.gates(x)):
            shares = {name: share[0].float().cpu() for name, share in opened.items()}
            found["gates"] = figures.gates(shares, self.spelled(x[0].tolist()))
        return found

    @torch.enable_grad()
    def fading(self, x: Tensor) -> Tensor:
        """Return |d loss_T / d e_t| by the distance T - t from 1 on, (T - 1,), the mean over x (B, T).

        loss_T is what the last token costs, e_t what the net's embedding makes of token t.
        """
        found: list[Tensor] = []

        def note(layer: nn.Module, given: Any, output: Tensor) -> Tensor:
            found.append(output.detach().requires_grad_())
            return found[0]

        handle = self.net.embedding.register_forward_hook(note)
        try:
            with torch.backends.cudnn.flags(enabled=False):  # its recurrent layers go backwards in training mode only
                logits = self.net(x[:, :-1])[0][:, -1].float()
                (slope,) = torch.autograd.grad(F.cross_entropy(logits, x[:, -1], reduction="sum"), found[0])
        finally:
            handle.remove()
        return slope.norm(dim=-1).mean(0).flip(0).cpu()

    def show(self, batch: Any) -> dict[str, Tensor | str]:
        """Return how a few texts go on after their first half."""
        given = batch.x[: self.usual, : max(1, min(batch.x.shape[1], CONTINUED) // 2)]
        new = torch.stack(list(self.tokens(given, CONTINUED)), dim=1)
        texts = [f"{self.text(a)} ⟶ {self.text(b)}" for a, b in zip(given.tolist(), new.tolist(), strict=True)]
        return {"continuations": "\n\n---\n\n".join(texts)}


class Carried(nn.Module):
    """The state in which each row of a batch ended, and the epoch that it belongs to."""

    epoch: Tensor

    def __init__(self, net: Any, rows: int):
        super().__init__()
        if not hasattr(net, "start"):
            raise ConfigError(f"carry: {type(net).__name__} has no state of fixed size to carry; set model.carry=false")
        state = net.start(rows)
        self.rows, self.single = rows, isinstance(state, Tensor)
        self.next: Tensor | None = None  # (rows,), what the next batch must begin with; looked at once
        self.proven = False
        self.register_buffer("epoch", torch.tensor(-1))
        for i, part in enumerate([state] if self.single else state):
            self.register_buffer(f"part{i}", part)

    @property
    def parts(self) -> tuple[Tensor, ...]:
        """The tensors of the state."""
        return tuple(buffer for name, buffer in self.named_buffers() if name != "epoch")

    def recall(self, batch: Any, epoch: int) -> Any:
        """Return the state to go on from, which is zero when an epoch begins. Raises ConfigError."""
        if batch.size != self.rows:
            raise ConfigError(
                f"carry: {self.rows} rows have a state, but the net is given {batch.size} at once; "
                "use accumulate=1, and data.source.order=carried, which has no smaller batches"
            )
        if int(self.epoch) != epoch:
            self.epoch.fill_(epoch)
            for part in self.parts:
                part.zero_()
        elif self.next is not None and not self.proven:
            if not self.next.equal(batch.x[:, 0]):
                raise ConfigError(
                    "model.carry=true: a batch does not go on where the one before it ended; use "
                    "data.source.order=carried"
                )
            self.proven = True
        parts = tuple(part.clone() for part in self.parts)
        return parts[0] if self.single else parts

    def keep(self, state: Any, after: Tensor) -> None:
        """Remember a state without its history, and the tokens (rows,) that come after it."""
        self.next = after
        for mine, new in zip(self.parts, [state] if self.single else state, strict=True):
            mine.copy_(new.detach())


def sizes(vocabulary: Vocabulary | None) -> Tensor:
    """Return how many characters and bytes of text each token stands for, (V, 2)."""
    spelled = [] if vocabulary is None else [vocabulary.spelled(number) for number in range(len(vocabulary))]
    starts = [sum(byte & 0xC0 != 0x80 for byte in token) for token in spelled]  # other bytes go on with a character
    return torch.tensor(list(zip(starts, map(len, spelled), strict=True)), dtype=torch.long).view(-1, 2)
