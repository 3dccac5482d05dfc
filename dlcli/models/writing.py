"""How a language model writes: from a prompt, token by token, as a text sampler says."""

from collections.abc import Iterator
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor

from dlcli import decoding
from dlcli.errors import ConfigError, DataError
from dlcli.samplers import Text, as_text
from dlcli.tokens import Vocabulary


class Writing:
    """Write text with `net`, a step of `dlcli.decoding`, in the words of `vocabulary`."""

    usual = 3  # texts
    net: Any
    vocab: int
    vocabulary: Vocabulary | None

    @property
    def end(self) -> int | None:
        """The token after which a text is over."""
        return None if self.vocabulary is None else self.vocabulary.end

    def sample(self, n: int, sampler: Any) -> Any:
        """Return `n` texts, a list, prompt and all; of a beam, the best that it holds."""
        asked = as_text(sampler)
        prompt, hidden = self.prompt(asked)
        if asked.beam is not None:
            rows = self.best(prompt, asked)[:n]
        else:
            steps = list(self.written(prompt, n, asked))
            rows = torch.stack(steps, dim=1).tolist() if steps else [[]] * n
        return [self.text([*prompt[hidden:], *self.cut(row)]) for row in rows]

    def stream(self, sampler: Any) -> Iterator[str]:
        """Yield one text piece by piece, as it is written; the pieces together are `sample(1, sampler)`.

        The next token may still change the end of the text: a mark moves up to its word, bytes become a character.
        """
        asked = as_text(sampler)
        prompt, hidden = self.prompt(asked)
        tokens, rest, told = prompt[hidden:], list[int](), 0
        whole = self.text(tokens)
        for token in self.written(prompt, 1, asked):
            rest.append(int(token[0]))
            before, whole = whole, self.text([*tokens, *self.cut(rest)])
            same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, whole, strict=False)))
            sure = len(whole[:same].rstrip("\N{REPLACEMENT CHARACTER}"))
            if sure > told:
                yield whole[told:sure]
                told = sure
        yield whole[told:]

    def written(self, prompt: list[int], n: int, asked: Text) -> Iterator[Tensor]:
        """Yield the tokens (n,) that follow a prompt, until every text is over."""
        self.check(asked)
        x = torch.tensor([prompt] * n, device=self.device)  # (n, T)

        def choose(logits: Tensor, seen: Tensor) -> Tensor:
            new = logits if asked.repetition == 1 else decoding.penalized(logits, seen, asked.repetition)
            return decoding.pick(new, asked.temperature, asked.top_k, asked.top_p)

        over = torch.zeros(n, dtype=torch.bool, device=self.device)
        for token in decoding.generate(self.spoken(n, asked), x, asked.length, choose, self.context):
            yield token
            over |= token == (-1 if self.end is None else self.end)
            if self.end is not None and bool(over.all()):
                return

    def best(self, prompt: list[int], asked: Text) -> list[list[int]]:
        """Return the tokens of the most probable continuations that a beam finds."""
        assert asked.beam is not None
        self.check(asked)
        kept = prompt
        if self.context is not None:
            if asked.length >= self.context:
                most = self.context - 1
                raise ConfigError(
                    f"sampler.length={asked.length}: a beam writes {most} tokens here at most; choose that"
                )
            kept = prompt[asked.length - self.context :]
        x, step = torch.tensor([kept], device=self.device), self.spoken(asked.beam, asked)
        state = self.step(1, asked)(x[:, :-1], None)[1] if len(kept) > 1 else None
        found, _ = decoding.beam(step, state, x[:, -1], self.end, asked.beam, asked.length)
        return found[0].tolist()

    def tokens(self, x: Tensor, length: int) -> Iterator[Tensor]:
        """Yield tokens (B,) that are drawn to follow x (B, T)."""
        step = self.step(len(x), Text())
        return decoding.generate(step, x, length, lambda logits, seen: decoding.pick(logits), self.context)

    def spoken(self, rows: int, asked: Text) -> decoding.Step:
        """Return what tells the next token, of those that are text or end it."""
        step = self.step(rows, asked)
        specials = [] if self.vocabulary is None else self.vocabulary.specials
        never = torch.tensor([token for token in specials if token != self.end], dtype=torch.long, device=self.device)

        def told(x: Tensor, state: Any) -> tuple[Tensor, Any]:
            logits, state = step(x, state)
            return logits.index_fill(-1, never, -torch.inf), state

        return told if len(never) else step

    def step(self, rows: int, asked: Text) -> decoding.Step:
        """Return what tells the next token of so many texts."""
        return self.net

    def prompt(self, asked: Text) -> tuple[list[int], int]:
        """Return the tokens to start from, and how many of them are not part of the text.

        Without a prompt a text begins as the vocabulary says, or else as after the end of a line.
        """
        given = self.read(asked)
        if self.vocabulary is not None and self.vocabulary.begin is not None:
            return [self.vocabulary.begin, *given], 1
        line = 0 if self.vocabulary is None else self.vocabulary.table.get("\n", 0)
        return (given, 0) if given else ([line], 1)

    def read(self, asked: Text) -> list[int]:
        """Return the tokens of the prompt. Raises ConfigError for what the vocabulary cannot write."""
        words = asked.given()
        if self.vocabulary is None:
            if words:
                raise ConfigError("sampler.prompt: the run knows no vocabulary to read it with; leave it out")
            return []
        try:
            return self.vocabulary.encode(words)
        except DataError as error:
            raise ConfigError(f"sampler.prompt: {error}") from error

    def remarks(self, sampler: Any) -> list[str]:
        """Say what of the prompt the net will not see, and what it does not know."""
        asked = as_text(sampler)
        count = len(self.prompt(asked)[0])
        seen = count if self.context is None else self.context - (asked.length if asked.beam else 0)
        said = [f"note: the prompt has {count} tokens; the net sees the last {seen}"] if count > seen > 0 else []
        return said if self.vocabulary is None else [*said, *self.vocabulary.remarks([asked.given()])]

    def check(self, asked: Text) -> None:
        """Raise ConfigError for more tokens to choose from than there are, and for a draw from a beam."""
        if asked.beam and asked.altered:
            raise ConfigError(
                f"sampler.beam={asked.beam}: a beam draws nothing; leave out temperature, top_k, top_p and repetition"
            )
        for name, count in (("top_k", asked.top_k), ("beam", asked.beam)):
            if count is not None and count > self.vocab:
                raise ConfigError(
                    f"sampler.{name}={count}: the vocabulary has {self.vocab} tokens; choose at most that"
                )

    def cut(self, tokens: list[int]) -> list[int]:
        """Return the tokens before the end of a text."""
        return tokens[: tokens.index(self.end)] if self.end in tokens else tokens

    def text(self, tokens: list[int]) -> str:
        """Return what tokens say; their numbers where no vocabulary is known."""
        return " ".join(map(str, tokens)) if self.vocabulary is None else self.vocabulary.decode(tokens)

    def spelled(self, tokens: list[int]) -> list[str]:
        """Return tokens one by one, as labels of a figure."""
        return [str(t) if self.vocabulary is None else self.vocabulary.tokens[t] for t in tokens]

    @property
    def context(self) -> int | None:
        """The number of tokens that the net sees; None: all."""
        return getattr(self.net, "context", None)

    @property
    def device(self) -> torch.device:
        """Where the net is."""
        return next(self.net.parameters()).device
