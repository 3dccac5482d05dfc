"""A batch cut into pieces makes the step of the whole, whatever its loss is a mean of and its rule remembers."""

import functools

import pytest
import torch
from torch import nn

from dlcli.batch import IGNORED, Images, Masks, Table, Tokens, Translations
from dlcli.engine.loop import Engine, Settings
from dlcli.engine.pieces import cut, least
from dlcli.engine.precision import Precision
from dlcli.model import Clock
from dlcli.models.began import BEGAN
from dlcli.models.classifier import Classifier
from dlcli.models.conditional import ConditionalWriter
from dlcli.models.glove import Glove
from dlcli.models.language import LanguageModel
from dlcli.models.principal import PCA
from dlcli.models.segmenter import Segmenter
from dlcli.models.seq2seq import Seq2Seq
from dlcli.models.tagger import Tagger
from dlcli.nets.mlp import MLP
from dlcli.nets.seq2seq import Seq2Seq as Recurrent
from dlcli.nets.text import RecurrentTags
from dlcli.nets.vqvae import Codebook
from dlcli.nets.words import WordTables
from dlcli.nets.writer import ClassWriter, Writer

SGD = functools.partial(torch.optim.SGD, lr=0.1)
TEXTS = torch.zeros(4, 8, dtype=torch.long)
TEXTS[0], TEXTS[1, :1], TEXTS[2, :3], TEXTS[3, :2] = torch.arange(8) % 5 + 3, 4, 5, 6
NEXT = TEXTS.roll(-1, 1).masked_fill(TEXTS == 0, IGNORED)


def learn(model, batch, pieces):
    """Let a rule learn from a batch once, in so many pieces, and return the engine."""
    engine = Engine(
        model.eval(), SGD, settings=Settings(accumulate=pieces), precision=Precision(torch.device("cpu"), "fp32")
    )
    engine.clock = Clock(0, 10)
    engine.learn(batch)
    return engine


def tagger():
    some = NEXT.clamp(max=1)
    some[1:3] = IGNORED  # a piece in which nothing is asked for
    return Tagger(net=RecurrentTags(vocab=8, classes=2, width=8), classes=2), Tokens(TEXTS, some)


def language():
    return LanguageModel(net=Writer(vocab=8, cell="gru", embedding=4, width=8), vocab=8, context=8), Tokens(TEXTS, NEXT)


def names():
    net = ClassWriter(vocab=8, classes=2, cell="gru", embedding=4, width=8)
    return ConditionalWriter(net=net, vocab=8, context=8, names=["a", "b"]), Tokens(TEXTS, torch.tensor([0, 1, 1, 0]))


def translator():
    net = Recurrent(vocab=8, source_vocab=8, width=8)
    return Seq2Seq(net=net, context=8, source_context=8), Translations(TEXTS, TEXTS.clone())


def segmenter():
    x, weight = torch.rand(4, 1, 6, 6), torch.rand(4, 6, 6) * torch.tensor([1.0, 5.0, 0.2, 3.0]).view(4, 1, 1)
    return Segmenter(net=nn.Conv2d(1, 2, 1), classes=2), Masks(x, (x[:, 0] > 0.5).long(), weight)


@pytest.mark.parametrize("made", [tagger, language, names, translator, segmenter])
def test_pieces_weigh_as_much_as_they_have_tokens_or_pixels(made):
    torch.manual_seed(0)
    model, batch = made()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    learn(model, batch, 1)
    whole = nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    model.load_state_dict(before)
    learn(model, batch, 4)
    torch.testing.assert_close(nn.utils.parameters_to_vector(model.parameters()).detach(), whole, atol=1e-6, rtol=1e-5)


def test_what_a_rule_does_without_a_step_it_does_with_every_piece():
    counts = []
    for pieces in (1, 3):
        model = Glove(net=WordTables(vocab=8, width=4, bias=True), vocab=8)
        learn(model, Tokens(TEXTS, TEXTS), pieces)
        counts.append(model.together)
        assert model.seen.sum() == (TEXTS > 0).sum()
    assert counts[0].any()
    torch.testing.assert_close(counts[1], counts[0])


@pytest.mark.parametrize("pieces", [1, 3])
def test_a_rule_that_acts_at_once_sees_every_example_once(pieces):
    model = PCA(shape=[6], latent=2)
    learn(model, Table(torch.rand(9, 6), torch.zeros(9)), pieces)
    assert int(model.seen) == 9


def test_what_follows_a_step_counts_by_the_share_of_the_piece():
    x, k = torch.rand(1, 1, 4, 4).expand(8, 1, 4, 4), []
    for pieces in (1, 4):
        torch.manual_seed(0)
        critic, generator = (nn.Sequential(nn.Flatten(), nn.Linear(n, 16), nn.Unflatten(1, (1, 4, 4))) for n in (16, 6))
        model = BEGAN(generator=generator, critic=critic, latent=6, rate=0.1)
        model.k.fill_(0.5)
        model.draw = lambda batch: torch.linspace(-1, 1, 6).expand(batch.size, 6)
        learn(model, Images(x, torch.zeros(8, dtype=torch.long)), pieces)
        k.append(model.k.item() - 0.5)
    assert abs(k[0]) > 0.001
    assert k[1] == pytest.approx(k[0], rel=1e-4)


def test_the_pieces_of_a_batch_together_forget_as_much_as_the_whole():
    books = [Codebook(codes=4, latent=3, decay=0.9) for _ in range(2)]
    torch.nn.init.normal_(books[0].vectors)
    books[1].load_state_dict(books[0].state_dict())
    for book in books:
        book.counts.fill_(200.0)
    maps = torch.randn(8, 3, 2, 2)
    books[0].follow(maps, books[0].nearest(maps))
    for part in maps.split(2):
        books[1].follow(part, books[0].nearest(part), 0.25)
    torch.testing.assert_close(books[1].counts, books[0].counts, rtol=0.01, atol=0.0)


def test_batch_norm_never_meets_a_single_example():
    net = MLP(inputs=4, widths=[6], outputs=2, norm="batch")
    model, batch = Classifier(net=net, classes=2), Tokens(torch.rand(5, 4), torch.tensor([0, 1, 0, 1, 1]))
    assert (least(model), least(nn.Linear(2, 2))) == (2, 1)
    assert [len(part.x) for part in cut(batch, 4, 2)] == [3, 2]
    assert [len(part.x) for part in cut(batch, 4)] == [2, 1, 1, 1]
    engine = learn(model, batch, 1)
    model.train()
    engine.pieces = 5
    engine.learn(batch)
    assert all(p.isfinite().all() for p in model.parameters())
