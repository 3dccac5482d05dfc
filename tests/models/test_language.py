"""Language models: what they measure, what they carry from batch to batch, and what they write."""

import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from dlcli.batch import IGNORED, Tokens
from dlcli.engine.loop import Engine, Settings
from dlcli.engine.precision import Precision
from dlcli.errors import ConfigError
from dlcli.model import Clock
from dlcli.models.conditional import ConditionalWriter
from dlcli.models.language import LanguageModel, sizes
from dlcli.nets.gpt import GPT
from dlcli.nets.writer import ClassWriter, Writer
from dlcli.samplers import Prior, Text
from dlcli.tokens import Vocabulary

WORDS = Vocabulary.learn(["hello world\nabc"], level="characters")
NAMES = Vocabulary.learn(["hello world"], level="characters", special=("<pad>", "<unk>"))


def language(kind="gpt", context=8, **options):
    net = (
        GPT(vocab=len(WORDS), context=context, width=16, depth=2, heads=2)
        if kind == "gpt"
        else Writer(vocab=len(WORDS), cell=kind, embedding=6, width=16)
    )
    return LanguageModel(net=net, vocab=len(WORDS), context=context, vocabulary=WORDS.state(), **options).eval()


def windows(rows=5, context=8):
    x = torch.randint(len(WORDS), (rows, context))
    return Tokens(x, x.roll(-1, 1))


def no_grad(act, *given):
    with torch.no_grad():
        return act(*given)


@pytest.mark.parametrize("kind", ["gpt", "lstm"])
def test_scores_are_means_over_tokens_not_over_windows(kind):
    model, batch = language(kind), windows()
    batch.y[0, 2:] = IGNORED
    scores = model.score(no_grad(model.measure, batch))
    logits = no_grad(model.net, batch.x)[0].flatten(0, 1)
    asked = batch.y.flatten() != IGNORED
    loss = F.cross_entropy(logits[asked], batch.y.flatten()[asked]).item()
    assert scores["loss"] == pytest.approx(loss, abs=1e-6)
    assert scores["loss"] == pytest.approx(no_grad(model.loss, batch).item(), abs=1e-6)
    assert scores["perplexity"] == pytest.approx(math.exp(loss), rel=1e-5)
    assert scores["bits_per_character"] == scores["bits_per_byte"] == pytest.approx(loss / math.log(2), rel=1e-5)


def test_bits_per_character_count_what_the_tokens_spell():
    """A uniform guess among V words costs log2 V bits a word, over its letters and the space before it."""
    vocabulary = Vocabulary.learn(["näive cat cat"], level="words", special=("<unk>",))
    spelled = sizes(vocabulary)
    assert spelled[vocabulary.unknown].tolist() == [0, 0]
    assert spelled[vocabulary.table["cat"]].tolist() == [4, 4]
    assert spelled[vocabulary.table["näive"]].tolist() == [6, 7]
    net = GPT(vocab=3, context=4, width=8, depth=1, heads=1)
    torch.nn.init.zeros_(net.embedding.weight)
    model = LanguageModel(net=net, vocab=3, context=4, vocabulary=vocabulary.state()).eval()
    tokens = torch.tensor([vocabulary.encode("cat näive cat cat")])
    scores = model.score(no_grad(model.measure, Tokens(tokens, tokens)))
    assert scores["loss"] == pytest.approx(math.log(3), abs=1e-6)
    assert scores["bits_per_character"] == pytest.approx(4 * math.log2(3) / 18, rel=1e-5)
    assert scores["bits_per_byte"] == pytest.approx(4 * math.log2(3) / 19, rel=1e-5)


def test_batches_cut_to_their_longest_stand_in_one_table():
    model = language()
    measured = no_grad(model.measure, windows(3, 5))
    assert measured["nats"].shape == measured["counted"].shape == measured["x"].shape == (3, 8)
    assert measured["nats"][:, 5:].eq(0).all()
    assert not measured["counted"][:, 5:].any()


def test_many_windows_are_measured_in_pieces(monkeypatch):
    model, batch = language(), windows(40)
    whole = no_grad(model.measure, batch)["nats"]
    monkeypatch.setattr("dlcli.models.language.AT_ONCE", 24)
    assert torch.allclose(no_grad(model.measure, batch)["nats"], whole, atol=1e-6)


def carried(model, batches, epoch=0):
    found = []
    for batch in batches:
        found += [update.loss.item() for update in model.updates(batch, Clock(0, 9, epoch))]
    return found


def cut(whole, size=8):
    return [Tokens(x, y) for x, y in zip(whole.x.split(size, 1), whole.y.split(size, 1), strict=True)]


@pytest.mark.parametrize("cell", ["vanilla", "lstm", "gru"])
def test_a_carried_state_reads_pieces_as_one_text(cell):
    model, whole = language(cell, carry=True, rows=3), windows(3, 24)
    pieces = cut(whole)
    losses = carried(model, pieces)
    assert sum(losses) / 3 == pytest.approx(no_grad(model.loss, whole).item(), abs=1e-6)
    assert carried(model, pieces, epoch=1) == pytest.approx(losses, abs=1e-6)
    assert carried(model, pieces[:1], epoch=1)[0] != pytest.approx(losses[0], abs=1e-6)
    alone = no_grad(model.measure, pieces[1])["loss"].mean().item()
    assert alone != pytest.approx(losses[1], abs=1e-6)


def test_no_gradient_goes_back_beyond_the_batch():
    model, pieces = language("lstm", carry=True, rows=3), cut(windows(3, 8), 4)
    for batch in pieces:
        (update,) = model.updates(batch, Clock(0, 9))
        update.loss.backward()  # would fail on the freed graph of the batch before
    assert not any(part.requires_grad for part in model.carried.parts)


def test_the_carried_state_travels_with_the_weights():
    pieces = cut(windows(3, 16))
    model, twin = (language("gru", carry=True, rows=3) for _ in range(2))
    carried(model, pieces[:1])
    twin.load_state_dict(model.state_dict())
    assert carried(twin, pieces[1:]) == carried(model, pieces[1:])


def test_carrying_refuses_what_it_cannot_carry():
    with pytest.raises(ConfigError, match="GPT has no state of fixed size"):
        language("gpt", carry=True, rows=3)
    with pytest.raises(ConfigError, match=r"3 rows have a state, but the net is given 2.*data\.source\.order=carried"):
        carried(language("gru", carry=True, rows=3), [windows(2)])
    with pytest.raises(
        ConfigError, match=r"does not go on where the one before it ended; use data\.source\.order=carr"
    ):
        carried(language("gru", carry=True, rows=3), cut(windows(3, 24))[::2])


@pytest.mark.parametrize("kind", ["gpt", "gru"])
def test_it_learns_a_text_by_heart_and_says_it(kind):
    text = "hello world abc"
    tokens = torch.tensor([WORDS.encode(text.replace(" abc", "\nabc"))])
    model = language(kind, context=16)
    engine = Engine(
        model,
        lambda groups: torch.optim.Adam(groups, lr=0.02),
        settings=Settings(),
        precision=Precision(torch.device("cpu")),
    )
    engine.clock = Clock(0, 200)
    model.train()
    for _ in range(200):
        engine.learn(Tokens(tokens[:, :-1], tokens[:, 1:]))
    model.eval()
    for asked in (Text(prompt="hell", length=11, temperature=0), Text(prompt="hell", length=11, beam=2)):
        assert no_grad(model.sample, 1, asked) == ["hello world\nabc"]


TEXT = "Well, a T-shirt (don't) 'll go: 3.5% — naïve 😀!"


@pytest.mark.parametrize("level", ["characters", "words", "subwords", "wordpieces"])
def test_a_stream_says_what_a_sample_says(level):
    special = ("<unk>",) if level == "wordpieces" else ()
    known = Vocabulary.learn([TEXT], level=level, size=300, special=special)
    torch.manual_seed(0)
    net = Writer(vocab=len(known), cell="lstm", embedding=6, width=16)
    model = LanguageModel(net=net, vocab=len(known), context=8, vocabulary=known.state()).eval()
    asked = Text(prompt="Well, a T-", length=30)
    torch.manual_seed(7)
    whole = no_grad(model.sample, 1, asked)[0]
    torch.manual_seed(7)
    pieces = no_grad(lambda: list(model.stream(asked)))
    assert "".join(pieces) == whole
    assert len(pieces) > 10
    assert whole.startswith("Well, a T-" if level in ("characters", "subwords") else "Well, a T")


def test_marks_move_up_to_their_words_while_a_text_is_told():
    known = Vocabulary.learn([TEXT], level="words")
    follows = known.encode(TEXT)
    net = torch.nn.Module()
    net.weight = torch.nn.Parameter(torch.zeros(()))
    net.forward = lambda x, state=None: (F.one_hot(next_of(x, follows), len(known)) * 50.0, state)
    model = LanguageModel(net=net, vocab=len(known), context=8, vocabulary=known.state())
    asked = Text(prompt="Well", length=len(follows) - 1, temperature=0)
    pieces = no_grad(lambda: list(model.stream(asked)))
    assert "".join(pieces) == no_grad(model.sample, 1, asked)[0] == known.decode(follows)
    assert known.decode(follows).startswith("Well, a T-shirt (don't)'ll go: 3.5%")


def next_of(x, follows):
    return torch.tensor([[follows[(follows.index(int(token)) + 1) % len(follows)] for token in row] for row in x])


def test_what_the_net_does_not_know_of_a_prompt_is_told_and_never_written():
    model = writer()
    asked = Text(prompt="heXlloY", length=40)
    assert model.remarks(asked) == ["note: unknown to the net: X, Y"]
    assert model.remarks(Text(prompt="hello")) == []
    with torch.no_grad():
        model.net.output.bias[NAMES.unknown] = 50.0
    assert all(":" in text for text in no_grad(model.sample, 4, Text(length=40)))
    torch.manual_seed(0)
    written = torch.stack(no_grad(lambda: list(model.written([0], 4, Text(length=40)))))
    assert NAMES.unknown not in written.unique().tolist()
    assert all(NAMES.unknown not in row for row in no_grad(model.best, [0], Text(length=9, beam=2)))


def test_a_beam_draws_nothing():
    for options in ({"temperature": 0.5}, {"top_k": 2}, {"top_p": 0.5}, {"repetition": 1.5}):
        with pytest.raises(ConfigError, match=r"sampler\.beam=2: a beam draws nothing; leave out temperature"):
            no_grad(language().sample, 1, Text(length=4, beam=2, **options))


def test_samplers_of_pictures_leave_their_temperature():
    model = language("gru")
    torch.manual_seed(7)
    first = no_grad(model.sample, 2, Prior(temperature=0.5))
    torch.manual_seed(7)
    assert no_grad(model.sample, 2, Text(temperature=0.5)) == first
    assert all(len(text) == 300 for text in first)


def test_prompts_that_cannot_be():
    model = language()
    for asked, said in (
        (Text(prompt="hellö ẞ"), "sampler.prompt: unknown characters: 'ö', 'ẞ'"),
        (Text(top_k=99), f"sampler.top_k=99: the vocabulary has {len(WORDS)} tokens"),
        (Text(beam=99, length=4), f"sampler.beam=99: the vocabulary has {len(WORDS)} tokens"),
        (Text(beam=2, length=8), "sampler.length=8: a beam writes 7 tokens here at most"),
    ):
        with pytest.raises(ConfigError, match=said):
            no_grad(model.sample, 1, asked)
    for beam, seen in ((None, 8), (2, 5)):
        notes = model.remarks(Text(prompt="hello world", beam=beam, length=3))
        assert notes == [f"note: the prompt has 11 tokens; the net sees the last {seen}"]
    assert not model.remarks(Text(prompt="hello"))
    assert len(no_grad(model.sample, 1, Text(prompt="hello world" * 4, length=20))[0]) == 64
    bare = LanguageModel(net=model.net, vocab=len(WORDS), context=8)
    with pytest.raises(ConfigError, match="knows no vocabulary"):
        bare.sample(1, Text(prompt="a"))
    assert no_grad(bare.sample, 1, Text(length=3))[0].replace(" ", "").isdigit()
    with pytest.raises(ConfigError, match="vocab=99, but the vocabulary has"):
        LanguageModel(net=model.net, vocab=99, context=8, vocabulary=WORDS.state())


def test_a_text_ends_where_it_says_so():
    vocabulary = Vocabulary.learn(["ab"], level="characters", special=("<bos>", "<eos>"))
    a, b = vocabulary.encode("ab")
    follows = {vocabulary.begin: a, a: b, b: vocabulary.end, vocabulary.end: a}

    class Fixed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))

        def forward(self, x, state=None):
            after = torch.tensor([[follows[int(token)] for token in row] for row in x])
            return F.one_hot(after, len(vocabulary)) * 50.0, state

    model = LanguageModel(net=Fixed(), vocab=len(vocabulary), context=8, vocabulary=vocabulary.state())
    assert no_grad(model.sample, 2, Text(length=40)) == ["ab", "ab"]
    assert no_grad(model.sample, 1, Text(length=5, beam=2)) == ["ab"]
    assert no_grad(model.sample, 1, Text(prompt="a", length=40)) == ["ab"]


@pytest.mark.parametrize("kind", ["gpt", "lstm"])
def test_the_report_draws_position_and_distance(kind):
    model, batch = language(kind), windows(6)
    report = model.report(no_grad(model.measure, batch))
    assert set(report) == {"positions", "fading"} | ({"attention"} if kind == "gpt" else {"gates"})
    slopes = model.fading(batch.x)
    assert slopes.shape == (7,)
    e = model.net.embedding(batch.x[:, :-1]).detach().requires_grad_()
    if kind == "lstm":
        last = model.net.output(model.net.recurrent(e)[0][:, -1])
        F.cross_entropy(last, batch.x[:, -1], reduction="sum").backward()
        assert torch.allclose(slopes, e.grad.norm(dim=-1).mean(0).flip(0), atol=1e-6)
    assert "⟶" in no_grad(model.show, batch)["continuations"]


def test_answers_for_whole_texts_are_refused():
    with pytest.raises(ConfigError, match="one answer for a whole text"):
        language().measure(Tokens(torch.zeros(2, 8, dtype=torch.long), torch.zeros(2, dtype=torch.long)))


def writer():
    net = ClassWriter(classes=2, vocab=len(NAMES), cell="gru", embedding=8, width=24)
    return ConditionalWriter(net=net, vocab=len(NAMES), context=5, names=["short", "long"], vocabulary=NAMES.state())


def test_texts_of_a_class_begin_and_end_with_padding():
    asked = []
    model = writer()
    model.net.forward = lambda x, state, y: asked.append((x, y)) or (torch.zeros(2, 5, len(NAMES)), None)
    x = torch.tensor([[5, 6, 7, 8], [5, 0, 0, 0]])
    _, truth, _ = model.asked(Tokens(x, torch.tensor([1, 0])))
    assert asked[0][0].tolist() == [[0, 5, 6, 7, 8], [0, 5, 0, 0, 0]]
    assert truth.tolist() == [[5, 6, 7, 8, 0], [5, 0, IGNORED, IGNORED, IGNORED]]


def test_it_learns_to_write_what_belongs_to_a_class():
    model = writer()
    texts, y = ["he", "hello", "wo", "world"], torch.tensor([0, 1, 0, 1])
    x = torch.zeros(4, 5, dtype=torch.long)
    for row, text in enumerate(texts):
        x[row, : len(text)] = torch.tensor(NAMES.encode(text))
    batch, optimizer = Tokens(x, y), torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(150):
        optimizer.zero_grad()
        model.loss(batch).backward()
        optimizer.step()
    model.eval()
    found = no_grad(model.sample, 40, Text(length=9))
    assert set(found[:20]) == {"short: he", "short: wo"}
    assert set(found[20:]) == {"long: hello", "long: world"}
    assert no_grad(model.sample, 2, Text(prompt="w", length=9, label="long")) == ["long: world"] * 2
    assert no_grad(model.sample, 1, Text(prompt="w", beam=3, length=9, label="short")) == ["short: wo"]
    scores = model.score(no_grad(model.measure, batch))
    assert scores["loss"] == pytest.approx(4 * math.log(2) / 18, abs=0.02)  # one choice of two in each of 18 tokens
    report = model.report(no_grad(model.measure, batch))
    assert report["classes"]["short"]["texts"] == 2
    assert "long: " in no_grad(model.show, batch)["texts"]
    torch.manual_seed(1)
    one = no_grad(model.sample, 1, Text(length=9))
    torch.manual_seed(1)
    assert ["".join(no_grad(lambda: list(model.stream(Text(length=9)))))] == one


def test_mistakes_with_classes_are_told():
    model = writer()
    with pytest.raises(ConfigError, match=r"sampler\.label=lond: no such class; did you mean long"):
        model.sample(1, Text(label="lond"))
    with pytest.raises(ConfigError, match="not the class of a text"):
        model.measure(SimpleNamespace(x=torch.zeros(2, 3), y=torch.zeros(2, 3), size=2))
    with pytest.raises(ConfigError, match="no token <pad>"):
        ConditionalWriter(net=model.net, vocab=len(WORDS), context=5, names=["a"], vocabulary=WORDS.state())
