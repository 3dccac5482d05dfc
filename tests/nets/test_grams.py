"""n-grams with skips: against their definition, and what a sum that has them tells apart."""

from itertools import combinations

import pytest
import torch

from dlcli.errors import ConfigError
from dlcli.nets.grams import GramText, gaps
from dlcli.nets.text import SummedText


def skipped(words: list[str], n: int, skips: int) -> set[str]:
    """Return the n-grams by their definition: n words in order that leave out at most so many between them."""
    chosen = combinations(range(len(words)), n)
    return {" ".join(words[i] for i in places) for places in chosen if places[-1] - places[0] - n + 1 <= skips}


def by_gaps(words: list[str], n: int, skips: int) -> list[str]:
    """Return the n-grams that `gaps` finds."""
    placed = [[first + gap for gap in places] for first in range(len(words)) for places in gaps(n, skips)]
    return [" ".join(words[i] for i in places) for places in placed if places[-1] < len(words)]


@pytest.mark.parametrize("n", [2, 3, 4])
@pytest.mark.parametrize("skips", [0, 1, 2, 3])
def test_gaps_find_each_gram_of_the_definition_once(n, skips):
    words = ["the", "quick", "brown", "fox", "jumps", "over", "it"]
    found = by_gaps(words, n, skips)
    assert sorted(found) == sorted(skipped(words, n, skips))


def test_the_example_of_guthrie_et_al():
    words = ["insurgents", "killed", "in", "ongoing", "fighting"]
    assert len(by_gaps(words, 2, 0)) == 4
    assert len(by_gaps(words, 2, 2)) == 9
    assert len(by_gaps(words, 3, 2)) == 10
    assert by_gaps(["a", "b", "c", "d"], 3, 1) == ["a b c", "a b d", "a c d", "b c d"]


def test_every_gram_has_its_bucket_and_none_reaches_beyond_the_text():
    net = GramText(vocab=50, classes=2, grams=3, skips=1, buckets=1_000_000)
    x = torch.randint(1, 50, (4, 9))
    x[1, 5:] = 0
    found = net.hashed(x)
    assert found.shape == (4, 2 + 3, 9)
    for row, buckets in zip(x.tolist(), found, strict=True):
        words = [str(token) for token in row if token]
        grams = {gram for n in (2, 3) for gram in skipped(words, n, 1)}
        assert len(set(buckets[buckets > 0].tolist())) == len(grams)
        assert int((buckets > 0).sum()) == len(by_gaps(words, 2, 1)) + len(by_gaps(words, 3, 1))
    assert found.max() <= 1_000_000


def test_buckets_are_filled_evenly_and_the_same_in_every_net():
    x = torch.arange(1, 30_001).view(1, -1)
    counts = GramText(vocab=30_001, classes=2, buckets=100).hashed(x).flatten().bincount(minlength=101)
    assert counts[0] == 1  # the last word begins no pair
    assert counts[1:].min() > 200
    assert counts[1:].max() < 400
    assert (
        GramText(vocab=9, classes=3, buckets=100)
        .hashed(x[:, :8])
        .equal(GramText(vocab=9, classes=2, buckets=100).hashed(x[:, :8]))
    )


def test_filling_up_changes_nothing_and_order_counts():
    net, bag = GramText(vocab=20, classes=2, skips=1).eval(), SummedText(vocab=20, classes=2).eval()
    x = torch.tensor([[3, 4, 5, 6, 7]])
    filled = torch.cat([x, torch.zeros(1, 4, dtype=torch.long)], 1)
    torch.testing.assert_close(net(filled), net(x))
    other = x[:, [3, 1, 0, 4, 2]]
    torch.testing.assert_close(bag(other), bag(x))
    assert (net(other) - net(x)).abs().max() > 1e-3


def test_a_negation_is_learned_where_a_bag_of_words_fails():
    """Two words that together mean the opposite: XOR, which no sum of words can answer."""
    x = torch.tensor([[1, 2], [1, 3], [4, 2], [4, 3]])
    y = torch.tensor([0, 1, 1, 0])
    right = []
    for net in (SummedText(vocab=5, classes=2), GramText(vocab=5, classes=2)):
        optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
        for _ in range(200):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()
        right.append(int((net(x).argmax(1) == y).sum()))
    assert right[0] < 4
    assert right[1] == 4


def test_what_is_no_gram_is_refused():
    with pytest.raises(ConfigError, match="grams=1"):
        GramText(vocab=5, classes=2, grams=1)
    with pytest.raises(ConfigError, match="skips=-1"):
        GramText(vocab=5, classes=2, skips=-1)
