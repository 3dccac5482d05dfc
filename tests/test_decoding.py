"""Choosing the next token, and the most probable text, against worked numbers and against trying everything."""

from itertools import pairwise, product

import pytest
import torch

from dlcli import decoding


def chain(vocab, seed=0):
    """Return a step of a first-order Markov chain, and its log probabilities (V, V)."""
    torch.manual_seed(seed)
    table = (2 * torch.randn(vocab, vocab)).log_softmax(-1)
    return lambda x, state: (table[x], state), table


def joint(table, start, tokens):
    path = [start, *tokens]
    return sum(table[a, b].item() for a, b in pairwise(path))


def test_temperature_sharpens_and_flattens():
    logits = torch.tensor([[2.0, 1.0, 0.0]])
    for temperature, first in ((0.5, 0.8668), (1.0, 0.6652), (2.0, 0.5065)):
        shares = decoding.filtered(logits, temperature).softmax(-1)
        assert shares[0, 0].item() == pytest.approx(first, abs=1e-4)
    for temperature, worked in ((1.0, [0.6652, 0.2447, 0.0900]), (5.0, [0.4018, 0.3289, 0.2693])):
        assert decoding.filtered(logits, temperature).softmax(-1)[0].tolist() == pytest.approx(worked, abs=1e-4)
    assert decoding.filtered(logits, 0.8).softmax(-1)[0].tolist() == pytest.approx([0.7307, 0.2093, 0.06], abs=1e-4)
    assert decoding.pick(torch.tensor([[0.0, 3.0, 1.0], [2.0, 0.0, 1.0]]), temperature=0).tolist() == [1, 0]


def test_top_k_and_the_nucleus_keep_what_they_should():
    logits = torch.tensor([[0.1, 0.4, 0.2, 0.3]]).log()
    kept = lambda **options: decoding.filtered(logits, **options).isfinite()[0].tolist()  # noqa: E731
    assert kept(top_k=2) == [False, True, False, True]
    assert kept(top_k=9) == [True] * 4
    assert decoding.filtered(torch.zeros(1, 5), top_k=2).isfinite().sum() == 2
    assert kept(top_p=0.39) == kept(top_p=1e-9) == [False, True, False, False]
    assert kept(top_p=0.6) == [False, True, False, True]
    assert kept(top_p=0.71) == [False, True, True, True]
    assert kept(top_p=1.0) == [True] * 4
    shares = decoding.filtered(logits, top_p=0.6).softmax(-1)[0]
    assert shares.tolist() == pytest.approx([0, 4 / 7, 0, 3 / 7])


def test_draws_follow_the_distribution():
    torch.manual_seed(0)
    logits = torch.tensor([0.1, 0.4, 0.2, 0.3]).log().expand(20_000, -1)
    shares = decoding.pick(logits).bincount(minlength=4) / 20_000
    assert shares.tolist() == pytest.approx([0.1, 0.4, 0.2, 0.3], abs=0.015)


def test_the_repetition_penalty_moves_seen_tokens_down():
    logits = torch.tensor([[2.0, -2.0, 1.0]])
    assert decoding.penalized(logits, torch.tensor([[0, 1, 0]]), 2.0).tolist() == [[1.0, -4.0, 1.0]]


@pytest.mark.parametrize("seed", range(5))
def test_a_beam_of_one_is_greedy_and_wider_ones_find_no_less(seed):
    step, table = chain(6, seed)
    begin = torch.tensor([2, 5])
    greedy = torch.stack(list(decoding.generate(step, begin[:, None], 5, lambda z, seen: z.argmax(-1))), dim=1)
    narrow, score = decoding.beam(step, None, begin, None, 1, 5)
    assert torch.equal(narrow[:, 0], greedy)
    for row, start in enumerate(begin.tolist()):
        assert score[row, 0].item() == pytest.approx(joint(table, start, greedy[row].tolist()), abs=1e-5)
    last = score[:, 0]
    for width in (2, 4, 6):
        found, score = decoding.beam(step, None, begin, None, width, 5)
        assert (score[:, 0] >= last - 1e-5).all()
        assert score.sort(descending=True).values.equal(score)
        for row, start in enumerate(begin.tolist()):
            for texts, value in zip(found[row].tolist(), score[row].tolist(), strict=True):
                assert value == pytest.approx(joint(table, start, texts), abs=1e-5)


def test_a_wide_beam_finds_the_best_of_all_texts():
    step, table = chain(4, 1)
    every = sorted(((joint(table, 1, tokens), tokens) for tokens in product(range(4), repeat=4)), reverse=True)
    found, score = decoding.beam(step, None, torch.tensor([1]), None, 64, 4)
    assert found[0, 0].tolist() == list(every[0][1])
    assert score[0, :5].tolist() == pytest.approx([value for value, _ in every[:5]], abs=1e-5)


def test_a_text_that_ended_stays_as_it_is_and_the_penalty_favours_longer_ones():
    """Token 0 ends: "0" has probability 0.4; "1 1 0" has 0.36, which is more when lengths are weighed."""
    table = torch.tensor([[1.0, 0, 0], [0.0, 1.0, 0], [0, 0, 1.0]]).log()
    table[2] = torch.tensor([0.4, 0.6, 0.0]).log()
    table[1] = torch.tensor([0.2, 0.8, 0.0]).log()
    step = lambda x, state: (table[x], state)  # noqa: E731
    found, score = decoding.beam(step, None, torch.tensor([2]), 0, 3, 3)
    assert found[0, 0].tolist() == [0, 0, 0]
    assert score[0, 0].item() == pytest.approx(torch.tensor(0.4).log().item())
    found, score = decoding.beam(step, None, torch.tensor([2]), 0, 3, 3, penalty=1.0)
    assert found[0, 0].tolist() == [1, 1, 1]
    expected = torch.tensor(0.6 * 0.8 * 0.8).log().item() / ((5 + 3) / 6)
    assert score[0, 0].item() == pytest.approx(expected, abs=1e-5)


def test_a_beam_takes_the_state_along():
    """The state is the sum of all tokens so far; the next token's probability depends on it."""
    torch.manual_seed(3)
    table = torch.randn(40, 3).log_softmax(-1)

    def step(x, state):
        state = x.sum(1)[None, :, None] if state is None else state + x.sum(1)[None, :, None]  # (1, N, 1)
        return table[state[0]], state

    def cost(tokens):
        total, value = 1, 0.0
        for token in tokens:
            value += table[total, token].item()
            total += token
        return value

    best = max(product(range(3), repeat=4), key=cost)
    found, score = decoding.beam(step, None, torch.tensor([1]), None, 27, 4)
    assert found[0, 0].tolist() == list(best)
    assert score[0, 0].item() == pytest.approx(cost(best), abs=1e-5)
    two, _ = decoding.beam(step, torch.tensor([0, 0]).view(1, 2, 1), torch.tensor([1, 1]), None, 27, 4)
    assert two[0].equal(two[1])
    assert two[0].equal(found[0])


def test_rows_of_nested_states():
    state = (torch.arange(6).view(1, 3, 2), [torch.arange(3).view(1, 3)])
    picked = decoding.rows(state, torch.tensor([2, 0]))
    assert isinstance(picked, tuple)
    assert picked[0].tolist() == [[[4, 5], [0, 1]]]
    assert picked[1][0].tolist() == [[2, 0]]
    assert decoding.rows(None, torch.tensor([0])) is None


@pytest.mark.parametrize("cache", [True, False])
def test_generation_stays_within_the_context(cache):
    """The net adds what it sees; with a full context it starts anew from the newer half, or from all without cache."""
    seen_lengths = []

    def step(x, state):
        total = x.shape[1] + (0 if state is None else int(state[0, 0]))
        seen_lengths.append(total)
        return torch.zeros(len(x), x.shape[1], 5), torch.full((1, len(x)), total)

    prompt = torch.zeros(2, 11, dtype=torch.long)
    tokens = list(decoding.generate(step, prompt, 9, lambda z, seen: z.argmax(-1), context=8, cache=cache))
    assert len(tokens) == 9
    assert tokens[0].shape == (2,)
    assert seen_lengths == ([8, 4, 5, 6, 7, 8, 4, 5, 6] if cache else [8] * 9)
