"""From logits to text: which token comes next, one by one or as the most probable whole.

Greedy takes the most probable token. Temperature t draws from softmax(logits / t). Top-k: Fan et al. 2018
(arXiv:1805.04833); top-p, or nucleus: Holtzman et al. 2020 (arXiv:1904.09751); repetition penalty: Keskar et al. 2019
(arXiv:1909.05858); beam search with the length penalty of Wu et al. 2016 (arXiv:1609.08144):

    score(y) = log P(y) / ((5 + |y|) / 6)^penalty

B examples, N = B W rows of all beams, W width of the beam, T time, V vocabulary. A `step` takes tokens (N, T) and a
state, None at the start, and returns logits (N, T, V) and the next state; a language model's net is one. A state is
a tensor with the examples in its second dimension, as torch's recurrent layers have it, or anything with a method
`rows(index)`, or a list or tuple of such.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

Step = Callable[[Tensor, Any], tuple[Tensor, Any]]


def filtered(logits: Tensor, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None) -> Tensor:
    """Return logits (..., V) of the distribution to draw from; what may not be drawn is at minus infinity.

    The nucleus holds the most probable tokens, as few as have a probability of `top_p` together.
    """
    logits = logits.float() / temperature
    if top_k is not None:
        best = logits.topk(min(top_k, logits.shape[-1]))  # so many and no more, where some are equal
        logits = torch.full_like(logits, -torch.inf).scatter(-1, best.indices, best.values)
    if top_p is not None:
        ordered, order = logits.sort(descending=True)
        before = ordered.softmax(-1).cumsum(-1).roll(1, -1)  # probability of all that are more probable
        before[..., 0] = 0
        outside = (before >= top_p).scatter(-1, order, before >= top_p)
        logits = logits.masked_fill(outside, -torch.inf)
    return logits


def penalized(logits: Tensor, seen: Tensor, repetition: float) -> Tensor:
    """Make tokens that were seen (N, T) less probable: positive logits (N, V) are divided, negative multiplied."""
    old = logits.gather(-1, seen)
    return logits.scatter(-1, seen, torch.where(old > 0, old / repetition, old * repetition))


def pick(logits: Tensor, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None) -> Tensor:
    """Return one token for each row of logits (N, V); the most probable one at temperature 0."""
    if temperature == 0:
        return logits.argmax(-1)
    return torch.multinomial(filtered(logits, temperature, top_k, top_p).softmax(-1), 1).squeeze(-1)


def rows(state: Any, index: Tensor) -> Any:
    """Return the state of some rows, in the order of `index`."""
    if isinstance(state, Tensor):
        return state.index_select(1, index)
    if hasattr(state, "rows"):
        return state.rows(index)
    return state if state is None else type(state)(rows(part, index) for part in state)


def generate(
    step: Step,
    prompt: Tensor,
    length: int,
    choose: Callable[[Tensor, Tensor], Tensor],
    context: int | None = None,
    cache: bool = True,
) -> Iterator[Tensor]:
    """Yield the next token of each row, (N,), `length` times; `choose` takes logits (N, V) and all tokens so far.

    A net with a `context` sees that many tokens. When they are full, it starts anew from the newer half of them:
    that costs a whole pass every context / 2 tokens, in place of one for each token. Without the cache it does all
    of the work for each token, and sees the last `context` tokens.
    """
    seen, state, fresh = prompt, None, prompt
    if context is not None:
        fresh = fresh[:, -context:]
    used = fresh.shape[1]
    for _ in range(length):
        if not cache:
            state, fresh = None, seen if context is None else seen[:, -context:]
        elif context is not None and used > context:
            state, fresh = None, seen[:, -max(1, context // 2) :]
            used = fresh.shape[1]
        logits, state = step(fresh, state)
        fresh = choose(logits[:, -1], seen).unsqueeze(1)  # (N, 1)
        seen, used = torch.cat((seen, fresh), dim=1), used + 1
        yield fresh[:, 0]


def beam(
    step: Step,
    state: Any,
    begin: Tensor,
    end: int | None,
    width: int,
    length: int,
    penalty: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Return the `width` best continuations that a beam finds, (B, W, T), the best first, and their scores (B, W).

    `begin` (B,) is the token to start from and `state` that of B examples before it. A text ends at the token `end`
    (None: nowhere), or after `length` tokens; after its end it goes on with `end`. The greedy text always keeps its
    place in the beam, so that no search ends with less than that.
    """
    examples, device = len(begin), begin.device
    first = width * torch.arange(examples, device=device)[:, None]  # (B, 1), row of the first beam of each example
    state = rows(state, torch.arange(examples, device=device).repeat_interleave(width))
    tokens = begin.repeat_interleave(width).view(examples, width, 1)
    beams = Beams(
        sums=torch.full((examples, width), -torch.inf, device=device).index_fill(
            1, first.new_zeros(1), 0
        ),  # all start alike
        counts=torch.zeros(examples, width, device=device),
        done=torch.zeros(examples, width, dtype=torch.bool, device=device),
        greedy=torch.zeros(examples, 1, dtype=torch.long, device=device),
    )
    for _ in range(length):
        logits, state = step(tokens[:, :, -1].reshape(-1, 1), state)
        beams, parent, token = grow(beams, logits[:, -1], end, penalty)
        index = (parent + first).flatten()
        state = rows(state, index)
        tokens = torch.cat((tokens.flatten(0, 1)[index].view(examples, width, -1), token[..., None]), dim=-1)
        if beams.done.all():
            break
    score, order = (beams.sums / longer(beams.counts, penalty)).sort(descending=True)
    return tokens[:, :, 1:].gather(1, order[..., None].expand(-1, -1, tokens.shape[-1] - 1)), score


class Beams(NamedTuple):
    """What is known of the texts in a beam."""

    sums: Tensor  # (B, W), log probabilities
    counts: Tensor  # (B, W), tokens
    done: Tensor  # (B, W), whether they have ended
    greedy: Tensor  # (B, 1), which of them is the greedy one


def grow(beams: Beams, logits: Tensor, end: int | None, penalty: float) -> tuple[Beams, Tensor, Tensor]:
    """Return the best beams after one more token, and parent and last token of each, (B, W).

    What has ended stays as it is and competes with what goes on.
    """
    examples, width = beams.sums.shape
    gains = logits.float().log_softmax(-1).view(examples, width, -1)  # (B, W, V)
    if end is not None:
        stay = torch.full_like(gains[0, 0], -torch.inf)
        stay[end] = 0
        gains = torch.where(beams.done[..., None], stay, gains)
    totals = beams.sums[..., None] + gains
    counts = beams.counts + ~beams.done
    best = (totals / longer(counts, penalty)[..., None]).flatten(1).topk(width).indices
    vocab = gains.shape[-1]
    likely = gains.argmax(-1).gather(1, beams.greedy)
    greedy = beams.greedy * vocab + likely  # (B, 1)
    lost = (best != greedy).all(1)
    best[lost, -1] = greedy[lost, 0]
    parent, token = best // vocab, best % vocab
    done = beams.done if end is None else token == end
    found = (best == greedy).int().argmax(1, keepdim=True)
    grown = Beams(totals.flatten(1).gather(1, best), counts.gather(1, parent), done, found)
    return grown, parent, token


def longer(counts: Tensor, penalty: float) -> Tensor:
    """Return by what the log probability of a text of so many tokens is divided."""
    return ((5 + counts) / 6) ** penalty
