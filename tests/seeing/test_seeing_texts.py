"""Looking at texts: the influence of words, the heads of attention, over words and over patches."""

import pytest
import torch

from dlcli import figures
from dlcli.batch import Images, Tokens
from dlcli.data.loader import Resident
from dlcli.data.serving import serve
from dlcli.figures.lines import WIDE, placed_words
from dlcli.models.classifier import Classifier
from dlcli.nets.encoder import Encoder
from dlcli.nets.layers import Picture
from dlcli.nets.text import ConvolvedText, RecurrentText, SummedText, TransformerText
from dlcli.nets.vit import ViT
from dlcli.seeing.heads import attention, grid
from dlcli.seeing.vectors import map_of, table
from dlcli.seeing.views import OF_LAYERS, OF_TOKENS, VIEWS
from dlcli.seeing.words import influence
from dlcli.tokens import Vocabulary
from dlcli.verbs.see import see

WORDS = Vocabulary(["<pad>", "<unk>", "$good", "bad", "film", *(f"word{i}" for i in range(15))], "words")
SIZE = {"vocab": 20, "classes": 3}
ASKED = {"batch": 20, "layer": None, "explain": "classes"}


def texts():
    """Return thirty texts of two to nine words."""
    x = torch.randint(1, 20, (30, 9))
    for row, length in enumerate(torch.randint(2, 10, (30,)).tolist()):
        x[row, length:] = 0
    return Tokens(x.int(), torch.arange(30) % 3)


def drawn(net, **more):
    """Return the figures of a classifier of texts."""
    model = Classifier(net=net, classes=3, vocabulary=WORDS.state()).eval()
    return see(model, serve(texts(), size=20, shuffle=False), {}, [*VIEWS, *OF_TOKENS], ASKED | more)


def transformer(**options):
    """Return a small transformer for texts."""
    return TransformerText(encoder=Encoder(context=9, width=16, heads=2, **options), **SIZE, pool="first")


def test_in_a_sum_of_words_the_influences_and_the_bias_are_the_logit():
    net = SummedText(**SIZE).eval()
    x = texts().x.long()
    classes = torch.arange(30) % 3
    parts = influence(net, x, classes)
    logits, bias = net(x), net.head.layers[-1].bias
    torch.testing.assert_close(parts.sum(1) + bias[classes], logits.gather(1, classes[:, None])[:, 0])
    assert not parts[x == 0].any()
    assert influence(torch.nn.Linear(4, 3), torch.randn(2, 4), classes[:2]) is None


@pytest.mark.parametrize("net", [ConvolvedText(**SIZE), RecurrentText(**SIZE, cell="gru"), transformer()])
def test_influence_is_gradient_times_vector(net):
    net, x, classes = net.eval(), texts().x.long()[:4], torch.tensor([0, 1, 2, 0])
    parts = influence(net, x, classes)
    step, table = 1e-3, net.embedding.weight
    one = int(x[0, 0])
    with torch.no_grad():
        before = net(x[:1])[0, 0].item()
        table[one] *= 1 + step
        after = net(x[:1])[0, 0].item()
    expected = parts[0][x[0] == one].sum().item()  # of every place where the word stands
    assert (after - before) / step == pytest.approx(expected, abs=5e-3)


def test_every_layer_that_attends_shows_its_weights():
    x = texts().x.long()
    found = attention(transformer().eval(), x)
    assert [weights.shape for weights in found] == [(30, 2, 10, 10)] * 2
    torch.testing.assert_close(found[0].sum(-1), torch.ones(30, 2, 10))
    pooled = attention(RecurrentText(**SIZE, pool="attention").eval(), x)
    assert [weights.shape for weights in pooled] == [(30, 9)]
    assert not pooled[0][x == 0].any()
    assert [w.shape for w in attention(transformer(block="bigbird").eval(), x)] == [(30, 2, 10, 10)] * 2


def test_texts_have_views_of_words_and_those_that_attend_of_heads():
    plain = drawn(SummedText(**SIZE))
    assert {"words"} <= set(plain) <= {"words", "vectors", *OF_LAYERS}
    assert {"words", "attention"} <= set(drawn(transformer()))
    for figure in [*plain.values(), *drawn(SummedText(**SIZE, pool="attention")).values()]:
        figure.canvas.draw()
    drawn(transformer())["attention"].canvas.draw()


@pytest.mark.parametrize("pool", ["class", "mean"])
def test_pictures_show_where_the_heads_look(pool):
    net = ViT(
        picture=Picture(channels=1, height=12, width=8),
        encoder=Encoder(context=6, width=16),
        classes=3,
        patch=4,
        pool=pool,
    )
    x = (256 * torch.rand(30, 1, 12, 8)).byte()
    model = Classifier(net=net, classes=3).eval()
    found = see(
        model, Resident(Images(x, torch.arange(30) % 3), size=20, shuffle=False), {}, ["attention", "words"], ASKED
    )
    assert set(found) == {"attention"}
    found["attention"].canvas.draw()


@pytest.mark.parametrize(
    ("tokens", "shape", "expected"),
    [
        (49, 1.0, ((7, 7), 0)),
        (50, 1.0, ((7, 7), 1)),
        (6, 1.5, ((3, 2), 0)),
        (7, 1.5, ((3, 2), 1)),
        (5, 1.0, ((2, 2), 1)),
    ],
)
def test_patches_find_their_places(tokens, shape, expected):
    assert grid(tokens, shape) == expected


def test_long_texts_go_on_in_the_next_line():
    places = placed_words(["word"] * 50)
    assert max(column + 4 for column, _ in places) <= WIDE
    assert places[-1] == (9 * 5, 2)
    figures.lines("none", [("empty", [], torch.zeros(0))]).canvas.draw()


def test_the_table_of_answers_tells_the_texts():
    model = Classifier(net=SummedText(**SIZE), classes=3, names=["a", "b", "c"], vocabulary=WORDS.state()).eval()
    batch = Tokens(torch.tensor([[2, 4, 0], [3, 3, 4]]), torch.tensor([0, 2]))
    table = model.show(batch)["answers"].splitlines()
    assert table[:2] == ["| | predicted | true | text |", "|--|--|--|--|"]
    assert table[2].endswith("| a | $good film |")
    assert table[3].endswith("| c | bad bad film |")


def test_gates_and_vectors_are_drawn_where_a_net_has_them():
    recurrent, summed = drawn(RecurrentText(**SIZE, cell="lstm")), drawn(SummedText(**SIZE))
    assert {"gates", "vectors"} <= set(recurrent)
    assert len(recurrent["gates"].axes) == 4  # three gates and the scale
    assert "gates" not in summed
    shown = {text.get_text() for text in summed["vectors"].axes[0].texts}
    assert {"bad", "film", "word3"} <= shown
    assert not {"<pad>", "<unk>"} & shown
    assert "gates" not in drawn(RecurrentText(**SIZE, cell="vanilla"))


def test_the_most_frequent_vectors_lie_where_their_components_say():
    vectors = torch.zeros(20, 4)
    vectors[2:, 0], vectors[2:, 1] = torch.arange(18.0), torch.arange(18.0).cos()
    figure = map_of(vectors, texts().x, WORDS)
    places = torch.tensor([text.get_position() for text in figure.axes[0].texts])
    order = torch.tensor([WORDS.table[t.get_text().replace(chr(92), "")] for t in figure.axes[0].texts]).float()
    assert torch.corrcoef(torch.stack([places[:, 0], order]))[0, 1].abs() > 0.999
    assert map_of(vectors, torch.tensor([[2, 3]]), WORDS) is None
    assert table(torch.nn.Linear(2, 2), 3) is None
