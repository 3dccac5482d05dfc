"""The masked language model: what it hides, its loss by hand, and that it learns."""

import math

import pytest
import torch
import torch.nn.functional as F

from dlcli.batch import Tokens
from dlcli.errors import ConfigError
from dlcli.models.masked import MaskedLanguage, hashed
from dlcli.nets.bert import Bert
from dlcli.nets.encoder import Encoder
from dlcli.samplers import Text
from dlcli.tokens import Vocabulary

CLS, SEP, HOLE, FIRST, VOCAB = 2, 3, 4, 5, 25


def model(**options):
    """Return a small BERT for 25 tokens."""
    net = Bert(encoder=Encoder(context=24, width=32, depth=1, heads=2), vocab=VOCAB)
    return MaskedLanguage(net=net, vocab=VOCAB, **options)


def pairs(count=200):
    """Return pairs of counting sentences: the second goes on where the first ended, or starts anywhere."""
    start, follows = torch.randint(0, 20, (count, 1)), torch.randint(0, 2, (count,))
    other = torch.where(follows[:, None] == 1, start + 8, start + 8 + torch.randint(3, 18, (count, 1)))
    first, second = ((begin + torch.arange(8)) % 20 + FIRST for begin in (start, other))
    mark = torch.full((count, 1), SEP)
    return Tokens(torch.cat((torch.full((count, 1), CLS), first, mark, second, mark), dim=1), follows)


def test_of_the_words_15_percent_are_hidden_in_three_ways():
    rule, x = model().train(), torch.randint(FIRST, VOCAB, (500, 100))
    x[:, 0], x[:, 50], x[0, 60:] = CLS, SEP, 0
    holed, chosen = rule.hide(x)
    words = (x >= FIRST).sum(1)
    assert (chosen.sum(1) == (0.15 * words).round()).all()
    assert not chosen[x < FIRST].any()  # marks and padding are never asked for
    assert holed[~chosen].equal(x[~chosen])
    shares = [(holed[chosen] == HOLE), (holed[chosen] == x[chosen])]
    assert shares[0].float().mean().item() == pytest.approx(0.8, abs=0.02)
    assert shares[1].float().mean().item() == pytest.approx(0.1 + 0.1 / 20, abs=0.02)  # chance draws the same word
    assert holed[chosen].min() >= HOLE
    assert not rule.hide(x)[1].equal(chosen)  # others at each step


def test_evaluation_hides_the_same_words_whatever_stands_beside_or_behind_a_text():
    rule, x = model().eval(), pairs(6).x
    holed, chosen = rule.hide(x)
    again, same = rule.hide(F.pad(x[2:3], (0, 4)))
    assert again[0, :-4].equal(holed[2])
    assert same[0, :-4].equal(chosen[2])
    numbers = hashed(torch.randint(1, 1000, (200, 50)), 0)
    assert 0 <= numbers.min() < numbers.max() < 1
    assert numbers.mean().item() == pytest.approx(0.5, abs=0.02)
    assert numbers.std().item() == pytest.approx(12**-0.5, abs=0.01)


def test_no_two_salts_meet_however_long_a_text_is():
    x = torch.randint(1, 1000, (1, 5000))
    numbers = torch.cat([hashed(x, salt) for salt in range(3)], 1)
    assert len(numbers.unique()) > 14_950  # of 15,000; by chance 7 of so many agree in 24 bits


def test_the_loss_and_the_scores_are_those_of_the_definition():
    rule, batch = model().eval(), pairs(12)
    holed, chosen = rule.hide(batch.x)
    words, follows = rule.net(holed)
    nats = [-words[i, t].log_softmax(-1)[batch.x[i, t]] for i, t in chosen.nonzero().tolist()]
    pair = F.cross_entropy(follows, batch.y)
    expected = torch.stack(nats).mean() + pair
    torch.testing.assert_close(rule.loss(batch), expected, atol=1e-5, rtol=1e-5)
    halves = [rule.measure(Tokens(*(column[part] for column in batch))) for part in (slice(5), slice(5, 12))]
    scores = rule.score({name: torch.cat([half[name] for half in halves]) for name in halves[0]})
    assert scores["loss"] == pytest.approx(expected.item(), rel=1e-5)
    assert scores["perplexity"] == pytest.approx(math.exp(torch.stack(nats).mean().item()), rel=1e-5)
    hits = words.argmax(-1)[chosen] == batch.x[chosen]
    assert scores["accuracy"] == pytest.approx(hits.float().mean().item())
    assert scores["next_accuracy"] == pytest.approx((follows.argmax(1) == batch.y).float().mean().item())


def test_it_learns_to_fill_in_and_to_tell_what_follows():
    rule, data = model(), pairs(512)
    optimizer = torch.optim.Adam(rule.parameters(), lr=4e-3)
    before = rule.eval().score(rule.measure(data))
    rule.train()
    for _ in range(150):
        rows = torch.randint(0, 512, (64,))
        optimizer.zero_grad()
        rule.loss(Tokens(data.x[rows], data.y[rows])).backward()
        optimizer.step()
    with torch.no_grad():
        after = rule.eval().score(rule.measure(pairs(200)))
    assert after["loss"] < 0.6 * before["loss"]
    assert after["accuracy"] > 0.5  # chance: 0.05


def test_it_shows_holes_what_was_named_and_what_was_hidden():
    special = ("<pad>", "<unk>", "<cls>", "<sep>", "<mask>")
    vocabulary = Vocabulary([*special, *(f"w{i}" for i in range(20))], "words")
    rule = model(vocabulary=vocabulary.state()).eval()
    shown = rule.show(pairs(3))["holes"].splitlines()
    assert shown[0] == "| text with holes | named | hidden |"
    assert len(shown) == 5
    assert all("<mask>" in line or "w" in line for line in shown[2:])


def test_bad_shares_and_vocabularies_without_a_mask_are_refused():
    with pytest.raises(ConfigError, match=r"masked=0.8, changed=0.3"):
        model(changed=0.3)
    plain = Vocabulary(["<pad>", "<unk>", *(f"w{i}" for i in range(23))], "words")
    with pytest.raises(ConfigError, match="no <mask>, which hides words; use data=sentences"):
        model(vocabulary=plain.state())


def test_a_classifier_of_other_texts_starts_from_it_with_its_words(dl, undrawn, tmp_path):
    small = ("model.net.encoder.width=16", "model.net.encoder.depth=1", "limit=0.05", "epochs=1", "batch=8")
    assert dl("train", "model=bert", *small)[0] == 0
    run = next((tmp_path / "outputs").glob("bert-sentences/*"))
    words = ("train", "model=bert_classifier", *small, f"init_from={run}")
    code, _, err = dl(*words)
    assert code == 2
    assert "it learned another vocabulary" in err
    code, out, err = dl(*words, f"data.source.vocabulary={run}")
    assert code == 0, err
    assert "19 of 21 tensors taken; not taken: net.head.weight (not there), net.head.bias (not there)" in out


def test_a_sample_fills_the_holes_of_a_prompt():
    known = Vocabulary.learn(["a b c d e"], level="words", special=("<pad>", "<unk>", "<cls>", "<sep>", "<mask>"))
    net = Bert(encoder=Encoder(context=24, width=16, depth=1, heads=2), vocab=len(known))
    rule = MaskedLanguage(net=net, vocab=len(known), vocabulary=known.state()).eval()
    with torch.no_grad():
        lines = rule.sample(2, Text(prompt="a <mask> c <mask>"))
        whole = torch.tensor([[known.cls, known.table["a"], known.mask, known.table["c"], known.mask, known.sep]])
        logits = net(whole)[0][0, [2, 4]]
    logits[:, known.specials] = -math.inf
    for line, share in zip(lines, logits.softmax(1), strict=True):
        best = share.topk(2)
        told = [f"{known.tokens[w]} {p:.1%}" for w, p in zip(best.indices.tolist(), best.values.tolist(), strict=True)]
        assert line == ", ".join(told)
    assert rule.remarks(Text(prompt="a <mask> film")) == ["note: unknown to the net: film"]
    with pytest.raises(ConfigError, match=r"a text with holes is needed"):
        rule.sample(2, Text(prompt="a b"))
    for option in ({"top_k": 3}, {"beam": 2}, {"length": 5}):
        with pytest.raises(ConfigError, match=r"holes are filled by the likeliest words, .*; leave it out$"):
            rule.sample(2, Text(prompt="a <mask>", **option))
