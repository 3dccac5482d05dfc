"""Nets that read texts: scores, summaries, the five routes, and what fills a text up changes nothing."""

import pytest
import torch
from torch.nn import functional as F

from dlcli.errors import ConfigError
from dlcli.nets.bert import BertText
from dlcli.nets.encoder import Encoder
from dlcli.nets.grams import GramText
from dlcli.nets.scores import SCORES, score
from dlcli.nets.summary import SUMMARIES, Attention, real, summary
from dlcli.nets.text import ConcatenatedText, ConvolvedText, RecurrentTags, RecurrentText, SummedText, TransformerText

VOCAB, CLASSES, LENGTH = 50, 3, 9
BLOCKS = ("pre", "post", "lecture", "bigbird")
POOLS = ("sum", "mean", "max", "first", "last", "attention")


def transformer(block="pre", pool="mean", positions="learned"):
    """Return a small transformer that reads up to twelve tokens."""
    return TransformerText(
        encoder=Encoder(context=12, width=32, block=block, positions=positions), vocab=VOCAB, classes=CLASSES, pool=pool
    )


NETS = {
    **{f"sum {pool}": lambda pool=pool: SummedText(vocab=VOCAB, classes=CLASSES, pool=pool) for pool in POOLS},
    "hidden": lambda: SummedText(vocab=VOCAB, classes=CLASSES, widths=[20]),
    "concatenated": lambda: ConcatenatedText(vocab=VOCAB, classes=CLASSES, context=12),
    "convolved": lambda: ConvolvedText(vocab=VOCAB, classes=CLASSES),
    **{
        f"{cell} {pool}": lambda cell=cell, pool=pool: RecurrentText(
            vocab=VOCAB, classes=CLASSES, cell=cell, pool=pool, depth=2
        )
        for cell in ("vanilla", "lstm", "gru")
        for pool in ("last", "max", "attention")
    },
    **{f"{block} {pool}": lambda b=block, p=pool: transformer(b, p) for block in BLOCKS for pool in ("mean", "first")},
    "grams": lambda: GramText(vocab=VOCAB, classes=CLASSES, grams=3, skips=1, buckets=100),
    "bert": lambda: BertText(encoder=Encoder(context=12, width=32), vocab=VOCAB, classes=CLASSES),
}


def texts():
    """Return five texts, one of them short and one empty."""
    x = torch.randint(1, VOCAB, (5, LENGTH))
    x[0, 4:] = 0
    x[1] = 0
    return x


@pytest.mark.parametrize("name", NETS)
def test_what_fills_a_text_up_changes_nothing(name):
    net, x = NETS[name]().eval(), texts()
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.2)  # the vector of the padding too
    logits = net(x)
    assert logits.shape == (5, CLASSES)
    assert logits.isfinite().all()
    torch.testing.assert_close(net(F.pad(x, (0, 3))), logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(net(x[:1, :4]), logits[:1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", NETS)
def test_every_weight_learns(name):
    net = NETS[name]()
    F.cross_entropy(net(texts()), torch.arange(5) % CLASSES).backward()
    still = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    # a key's bias shifts all scores of a query alike, and a question without a query has no effect on one word
    assert not [name for name in still if not name.endswith(("key.bias",))]


def test_the_cosine_of_unit_vectors_is_their_dot_product():
    a, b = F.normalize(torch.randn(2, 7, 6), dim=-1)
    torch.testing.assert_close(score("cosine", 6)(a, b), score("dot", 6)(a, b), atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", SCORES)
def test_scores_are_their_formulas(name):
    a, b = torch.randn(2, 7, 6)
    found = score(name, 6)
    if name == "dot":
        expected = [sum(p * q for p, q in zip(*rows, strict=True)) for rows in zip(a, b, strict=True)]
    elif name == "cosine":
        expected = [(p @ q) / ((p @ p).sqrt() * (q @ q).sqrt()) for p, q in zip(a, b, strict=True)]
    elif name == "bilinear":
        expected = [p @ found.map.weight @ q for p, q in zip(a, b, strict=True)]
    else:
        expected = [1 / (1 + (-(found.map.weight[0] @ torch.cat((p, q)))).exp()) for p, q in zip(a, b, strict=True)]
    torch.testing.assert_close(found(a, b), torch.stack(expected), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(found(a[0], b)[3], found(a[:1], b[3:4])[0])  # one question for many words


def test_unknown_scores_and_summaries_are_named():
    with pytest.raises(ConfigError, match="unknown score 'cosin': did you mean 'cosine'"):
        score("cosin", 4)
    with pytest.raises(ConfigError, match=f"choose one of {', '.join(SUMMARIES)}"):
        summary("median", 4)


@pytest.mark.parametrize("name", SCORES)
def test_attention_pooling_is_a_weighted_sum_of_the_real_words(name):
    pool, x = Attention(width=6, score=name), torch.randn(3, 5, 6)
    mask = real(torch.tensor([[1, 2, 3, 4, 5], [1, 2, 0, 0, 0], [0, 0, 0, 0, 0]]))
    weights = pool.weights(x, mask)
    torch.testing.assert_close(weights.sum(1), torch.ones(3))
    assert not weights[~mask].any()
    shares = torch.stack([pool.score(pool.question, v) for v in x[1, :2]]).softmax(0)
    torch.testing.assert_close(pool(x, mask)[1], shares[0] * x[1, 0] + shares[1] * x[1, 1])


def test_the_last_state_of_both_directions_is_where_each_ends():
    net, x = RecurrentText(vocab=VOCAB, classes=CLASSES, cell="gru").eval(), texts()
    mask = real(x)
    states, _ = net.read(net.embedding(x), mask)
    _, ends = net.recurrent(net.embedding(x), lengths=mask.sum(1))
    torch.testing.assert_close(net.summary(states, mask), net.recurrent.last(ends))


def test_a_bag_of_words_confuses_what_order_tells_apart():
    """`adequate, but just not great` and `not just adequate, but great` hold the same words."""
    words = ["adequate", ",", "but", "just", "not", "great"]
    number = {word: i for i, word in enumerate(words, 1)}
    one = torch.tensor([[number[word] for word in words]])
    other = one[:, [4, 3, 0, 1, 2, 5]]  # not just adequate , but great
    size = {"vocab": 7, "classes": 2}
    bags = [SummedText(**size, pool=pool, widths=widths) for pool in ("sum", "mean", "max") for widths in ((), (8,))]
    sets = TransformerText(encoder=Encoder(context=6, positions="none"), **size)
    for net in [*bags, sets]:
        torch.testing.assert_close(net.eval()(one), net(other), atol=1e-6, rtol=0)
    ordered = (
        ConcatenatedText(**size, context=6),
        ConvolvedText(**size),
        RecurrentText(**size),
        TransformerText(encoder=Encoder(context=6), **size),
    )
    for net in ordered:
        assert (net.eval()(one) - net(other)).abs().max() > 1e-4


def test_a_convolved_text_is_the_best_phrase_by_hand():
    net = ConvolvedText(vocab=VOCAB, classes=2, width=4, kernels=[2], channels=3, dropout=0).eval()
    x = torch.tensor([[5, 7, 9, 0, 0]])
    words = torch.cat((net.embedding(x[0, :3]), torch.zeros(1, 4)))
    weight, bias = net.phrases[0].weight, net.phrases[0].bias
    phrases = [(weight * words[t : t + 2].T).sum((1, 2)) + bias for t in range(3)]
    torch.testing.assert_close(net(x)[0], net.head(torch.stack(phrases).relu().amax(0)))


def test_a_concatenated_text_is_cut_at_its_context():
    net, x = ConcatenatedText(vocab=VOCAB, classes=CLASSES, context=4).eval(), texts()
    torch.testing.assert_close(net(x), net(x[:, :4]))


def test_phrases_without_a_length_are_refused():
    with pytest.raises(ConfigError, match=r"kernels=\[\]: give the lengths"):
        ConvolvedText(vocab=VOCAB, classes=2, kernels=[])


def test_tags_stand_at_every_token_and_know_both_sides():
    net, x = RecurrentTags(vocab=VOCAB, classes=4).eval(), texts()
    logits = net(x)
    assert logits.shape == (5, LENGTH, 4)
    changed = x.clone()
    changed[2, -1] = x[2, -1] % 40 + 1
    assert (net(changed)[2, 0] - logits[2, 0]).abs().max() > 1e-6
    torch.testing.assert_close(net(x[:1, :4])[0], logits[0, :4], atol=1e-6, rtol=0)


@pytest.mark.parametrize(("cell", "weights"), [("vanilla", 7_424), ("lstm", 29_696), ("gru", 22_272)])
def test_the_lectures_reader_of_tweets_has_its_size(cell, weights):
    net = RecurrentText(vocab=30, classes=2, embedding=50, width=64, cell=cell, bidirectional=False)
    assert sum(p.numel() for p in net.recurrent.parameters()) == weights
    assert sum(p.numel() for p in net.head.parameters()) == 130
    assert net(torch.tensor([[3, 4, 0]])).shape == (1, 2)
    by_hand = RecurrentText(vocab=30, classes=2, embedding=50, width=64, cell=cell, bidirectional=False, fused=False)
    by_hand.load_state_dict(net.state_dict())
    x = torch.randint(1, 30, (3, 7))
    torch.testing.assert_close(by_hand.eval()(x), net.eval()(x), atol=1e-6, rtol=1e-5)
    assert RecurrentTags(vocab=30, classes=4, cell=cell, skip=3)(x).shape == (3, 7, 4)
