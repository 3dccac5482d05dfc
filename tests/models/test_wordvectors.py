"""Word vectors: pairs counted one by one, costs by hand, optima that theory knows, and questions that they answer."""

import json
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from dlcli import analogies
from dlcli.batch import Tokens, Translations
from dlcli.errors import ConfigError, DataError
from dlcli.model import Clock
from dlcli.models import wordvectors
from dlcli.models.glove import Glove
from dlcli.models.word2vec import Cbow, SkipGram
from dlcli.nets.words import WordTables
from dlcli.samplers import Text
from dlcli.seeing.vectors import table
from dlcli.tokens import Vocabulary

WORDS = ["<pad>", "<unk>", "<sep>", "king", "queen", "man", "woman", "men", "women", "hat"]
FIRST, VOCAB = 3, len(WORDS)
STATE = Vocabulary(WORDS, "words").state()
X = torch.tensor([[3, 4, 5, 2, 6, 1, 7, 8], [9, 3, 3, 6, 2, 0, 0, 0]])


def rule(kind, width=4, **options):
    """Return a rule for ten words whose tables are no longer small."""
    net = WordTables(vocab=VOCAB, width=width, bias=kind is Glove)
    for weight in net.parameters():
        torch.nn.init.normal_(weight)
    return kind(net=net, vocab=VOCAB, vocabulary=STATE, **options)


def pairs(row, window):
    """Return (i, j, distance) for every ordered pair of words of a text that no mark parts."""
    for i, a in enumerate(row):
        for j, b in enumerate(row):
            parted = 2 in row[min(i, j) : max(i, j)] or 0 in row[min(i, j) : max(i, j)]
            if i != j and abs(i - j) <= window and min(a, b) >= FIRST and not parted:
                yield i, j, abs(i - j)


@pytest.mark.parametrize(
    ("kind", "near"), [(SkipGram, lambda d: sum(d <= reach for reach in (1, 2, 3)) / 3), (Glove, lambda d: 1 / d)]
)
def test_pairs_are_those_that_one_counts_by_hand(kind, near):
    expected = torch.zeros(2, 8, 8)
    for b, row in enumerate(X.tolist()):
        for i, j, distance in pairs(row, 3):
            expected[b, i, j] = near(distance)
    assert 0 < (expected > 0).sum() < 2 * 8 * 7
    torch.testing.assert_close(rule(kind, window=3).company(X), expected)


@pytest.mark.parametrize("subsample", [0.0, 0.1])
@pytest.mark.parametrize("kind", [SkipGram, Cbow])
def test_the_cost_is_that_of_the_formula(kind, subsample):
    model = rule(kind, window=2, negatives=3, subsample=subsample).eval()
    for _ in range(3):
        model.count(X)
    times = X[X >= FIRST].bincount(minlength=VOCAB).double() * 3
    t_over_f = subsample * times.sum() / times.clamp(min=1)
    kept = (t_over_f.sqrt() + t_over_f).clamp(max=1) if subsample else torch.ones(VOCAB)
    noise = torch.tensor([0.0] * FIRST + [(count + 1) ** 0.75 for count in times[FIRST:].tolist()])
    noise /= noise.sum()
    v, u = model.net.embedding.weight.detach(), model.net.context.weight.detach()

    def wrong(vector):
        return -3 * sum(p * F.logsigmoid(-u[n] @ vector) for n, p in enumerate(noise))

    row = X[0].tolist()
    cost = weight = 0.0
    if kind is SkipGram:
        for i, j, d in pairs(row, 2):
            share = (3 - d) / 2 * kept[row[i]] * kept[row[j]]
            cost += share * (wrong(v[row[i]]) - F.logsigmoid(u[row[j]] @ v[row[i]]))
            weight += share
    else:
        for i in range(8):
            beside = [((3 - d) / 2 * kept[row[j]], v[row[j]]) for a, j, d in pairs(row, 2) if a == i]
            if beside:
                h = sum(share * vector for share, vector in beside) / sum(share for share, _ in beside)
                cost += kept[row[i]] * (wrong(h) - F.logsigmoid(u[row[i]] @ h))
                weight += kept[row[i]]
    found = [part[0].item() for part in model.pairs(X)]
    assert found == pytest.approx([float(cost), float(weight)], rel=1e-5)
    assert model.score(model.measure(Tokens(X[:1], X[:1])))["loss"] == pytest.approx(float(cost / weight), rel=1e-5)


def test_the_draws_of_training_are_right_on_average():
    model = rule(SkipGram, shared=200_000)
    model.count(X)
    exact = model.eval().pairs(X)[0]
    torch.testing.assert_close(model.train().pairs(X)[0], exact, rtol=0.01, atol=0)


def test_skip_gram_ends_at_the_mutual_information_less_log_k():
    """Levy & Goldberg (2014): u_j v_i = log P(i, j) / (P(i) P(j)) - log k, P(j) the distribution of the noise."""
    torch.manual_seed(0)
    x = torch.randint(FIRST, VOCAB, (400, 6))
    x[:, 1::2] = torch.where(torch.rand(400, 3) < 0.6, (x[:, ::2] + 1 - FIRST) % 7 + FIRST, x[:, 1::2])
    model = rule(SkipGram, width=8, window=1, negatives=2, subsample=0).eval()  # eval: all words, no draws
    model.count(x)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=400, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = model.loss(Tokens(x, x))
        loss.backward()
        return loss

    optimizer.step(closure)
    count = torch.zeros(VOCAB, VOCAB)
    for a, b in ((x[:, :-1], x[:, 1:]), (x[:, 1:], x[:, :-1])):
        count.index_put_((a.flatten(), b.flatten()), torch.ones(a.numel()), accumulate=True)
    noise = (model.seen + model.ordinary).pow(0.75) * model.ordinary
    count, noise = count[FIRST:, FIRST:], (noise / noise.sum())[FIRST:]
    expected = (count / count.sum(1, keepdim=True) / noise).log() - math.log(2)
    found = model.net(torch.arange(FIRST, VOCAB)[None])[0].detach()
    torch.testing.assert_close(found, expected, atol=0.02, rtol=0)


def test_glove_counts_in_its_first_epoch_and_then_weighs_each_pair_of_words_once():
    model = rule(Glove, window=3, most=2)
    assert list(model.updates(Tokens(X, X), Clock(0, 10))) == []
    expected = torch.zeros(VOCAB, VOCAB)
    for row in X.tolist():
        for i, j, distance in pairs(row, 3):
            expected[row[i], row[j]] += 1 / distance
    torch.testing.assert_close(model.together, expected)
    net = model.net
    (b, c), there = (table.weight[:, 0] for table in net.biases), expected > 0
    score = net.embedding.weight @ net.context.weight.T + b[:, None] + c
    weight = (expected / 2).pow(0.75).clamp(max=1)
    total = (weight * (score - expected.log()).square())[there].sum()
    torch.testing.assert_close(model.pairs(X)[0].sum(), total)
    torch.testing.assert_close(model.pairs(X)[1].sum(), weight[there].sum())
    assert len(list(model.updates(Tokens(X, X), Clock(1, 10, epoch=1)))) == 1
    torch.testing.assert_close(model.together, expected)  # nothing is counted twice
    assert model.ahead(Clock(0, 10))
    assert not model.ahead(Clock(1, 10, epoch=1))


def test_glove_counts_in_the_first_half_of_a_single_epoch():
    model, batch = rule(Glove), Tokens(X, X)
    assert [len(list(model.updates(batch, Clock(step, 6)))) for step in range(6)] == [0, 0, 0, 1, 1, 1]
    assert [bool(model.ahead(Clock(step, 6))) for step in (0, 2, 3)] == [True, True, False]


@pytest.mark.parametrize("kind", [SkipGram, Cbow, Glove])
def test_a_text_without_pairs_costs_nothing(kind):
    model = rule(kind)
    model.count(X)
    for x in (X[:, :1], torch.zeros_like(X), torch.tensor([[3, 2, 4]])):
        model.loss(Tokens(x, x)).backward()
        assert all(not weight.grad.any() for weight in model.parameters() if weight.grad is not None)
        assert model.score(model.measure(Tokens(x, x))) == {"loss": 0.0}


@pytest.mark.parametrize(("kind", "options"), [(SkipGram, {"subsample": 1e-4}), (Cbow, {}), (Glove, {"most": 1e4})])
def test_a_batch_that_counts_for_less_than_one_pair_is_trained_by_what_is_measured(kind, options):
    model = rule(kind, **options).eval()
    list(model.updates(Tokens(X, X), Clock(0, 10)))
    x = X[:, :2]
    assert 0 < model.pairs(x)[1].sum() < 1
    measured = model.score(model.measure(Tokens(x, x)))["loss"]
    assert model.loss(Tokens(x, x)).item() == pytest.approx(measured, rel=1e-5)


@pytest.mark.parametrize("kind", [SkipGram, Cbow, Glove])
def test_a_split_is_scored_alike_in_pieces_of_any_size(kind, monkeypatch):
    model = rule(kind).eval()
    list(model.updates(Tokens(X, X), Clock(0, 10)))
    whole = model.measure(Tokens(X, X))
    assert len(whole["loss"]) == len(X)
    monkeypatch.setattr(wordvectors, "ROOM", 1)
    pieces = model.measure(Tokens(X, X))
    for name, values in whole.items():
        torch.testing.assert_close(pieces[name], values)
    costs, counted = whole["costs"].sum(), whole["counted"].sum()
    assert model.score(whole)["loss"] == pytest.approx((costs / counted).item())


def test_a_text_is_the_mean_of_its_words():
    model = rule(Glove)
    vectors = model.vectors()
    expected = torch.stack([vectors[[3, 4, 5, 6, 7, 8]].mean(0), vectors[[9, 3, 3, 6]].mean(0)])
    torch.testing.assert_close(model.embed(Tokens(X, X)), expected)
    assert table(model, VOCAB).equal(vectors)  # the map shows the same


def test_what_is_shown_are_frequent_words_with_their_neighbours():
    model = royal(rule(SkipGram))
    model.speech.vocabulary.tokens[WORDS.index("hat")] = "|"
    model.count(torch.tensor([[3, 3, 3, 6, 6, 9]]))
    head, _, *lines = model.show(None)["neighbours"].split("\n")
    assert head.startswith("| word |")
    assert [line.split(" ")[1] for line in lines] == ["king", "woman", r"\|"]
    assert all(line.split(" ")[1] not in line.split(" ")[2:] for line in lines if "king" in line[:7])
    assert all("<" not in line for line in lines)


def test_of_pairs_to_translate_the_translation_is_read():
    model = rule(SkipGram).eval()
    model.count(X)
    assert model.loss(Translations(X.flip(0).flip(1) * 0 + 99, X)).equal(model.loss(Tokens(X, X)))


def test_two_tables_meet_in_glove_alone():
    model = rule(Glove)
    assert model.vectors().equal(model.net.embedding.weight + model.net.context.weight)
    model = rule(Cbow)
    assert model.vectors().equal(model.net.embedding.weight)


def royal(model):
    """Give a rule vectors whose differences mean something: number, gender, rank; return it."""
    table = torch.zeros(VOCAB, 4)
    for word, features in {"king": (1, 0, 0), "queen": (1, 1, 0), "man": (0, 0, 0), "woman": (0, 1, 0),
                           "men": (0, 0, 1), "women": (0, 1, 1)}.items():  # fmt: skip
        table[WORDS.index(word)] = torch.tensor([1.0, *features])
    table[WORDS.index("hat")] = torch.tensor([-1.0, 0, 0, 0])
    with torch.no_grad():
        model.net.embedding.weight.copy_(table)
    return model


def test_king_less_man_and_woman_is_queen():
    model = royal(rule(SkipGram))
    assert model.sample(1, Text(prompt="king - man + woman"))[0].startswith("queen ")
    assert model.sample(3, Text(prompt="men - man + woman"))[0].startswith("women ")
    everything = model.sample(50, Text(prompt="man"))
    assert len(everything) == 6
    assert everything[-1].startswith("hat ")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (Text(), "a word, or words"),
        (Text(prompt="kin"), "did you mean king"),
        (Text(prompt="<unk>"), "is not among the 10 words"),
        (Text(prompt="king queen"), "joined by"),
        (Text(prompt="king", temperature=0.5), "^sampler.temperature=0.5: .*; leave it out$"),
        (Text(prompt="king", length=299), "^sampler.length=299: the nearest words are told"),
        (Text(prompt="king", label="a"), "sampler.label"),
    ],
)
def test_what_cannot_be_asked_of_words_is_told(asked, said):
    with pytest.raises(ConfigError, match=said):
        rule(SkipGram).sample(3, asked)


def test_questions_are_answered_as_one_by_one():
    vectors = royal(rule(SkipGram)).vectors().detach()
    known = Vocabulary.read(STATE)
    asked = [["man", "king", "woman", "queen"], ["man", "men", "woman", "women"], ["king", "queen", "man", "hat"]]
    rows = analogies.known([*asked, ["man", "boss", "woman", "queen"]], known)
    assert len(rows) == 3  # boss is not known
    assert analogies.solved(vectors, rows, known.specials).tolist() == [True, True, False]
    a, b, c = F.normalize(vectors)[rows[0, :3]]
    found, _ = analogies.nearest(vectors, b - a + c, [*rows[0, :3].tolist(), *known.specials], 1)
    assert found == [WORDS.index("queen")]


def test_a_word_of_the_question_is_no_answer_and_all_have_length_one():
    rows = torch.zeros(VOCAB, 3)
    for word, vector in {
        "king": (1, 0, 0),
        "queen": (0, 5, 0),
        "man": (1, 0.2, 1),
        "woman": (1, 1, 0),
        "hat": (1, 0, 0.1),
    }.items():
        rows[WORDS.index(word)] = torch.tensor(vector)
    a, b, c, d = (WORDS.index(word) for word in ("man", "king", "queen", "woman"))
    specials = Vocabulary.read(STATE).specials
    unit = F.normalize(rows)
    assert (unit @ (unit[b] - unit[a] + unit[c])).argmax() == c  # which is asked about
    assert analogies.solved(rows, torch.tensor([[a, b, c, d]]), specials).tolist() == [True]
    model = rule(SkipGram, width=3)
    model.net.embedding.weight.data = rows
    assert model.sample(1, Text(prompt="king - man + queen"))[0].startswith("woman ")
    long = rows.clone()
    long[b] *= 100
    assert analogies.solved(long, torch.tensor([[a, b, c, d]]), specials).tolist() == [True]
    model.net.embedding.weight.data = long
    assert model.sample(1, Text(prompt="king - man + queen"))[0].startswith("woman ")


@pytest.mark.parametrize(
    ("text", "said"), [("a b c\n", "line 1: 3 words"), ("\n", "no questions"), (": x\n", "no quest")]
)
def test_a_file_without_questions_is_refused(text, said):
    with pytest.raises(DataError, match=said):
        analogies.questions(text, "questions.txt")


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        (SkipGram, {"window": 0}, "window=0"),
        (SkipGram, {"negatives": 0}, "negatives=0"),
        (Cbow, {"shared": 0}, "shared=0"),
        (Glove, {"most": 0}, "most=0"),
    ],
)
def test_values_that_cannot_be_are_refused(kind, options, said):
    with pytest.raises(ConfigError, match=said):
        rule(kind, **options)


def test_a_vocabulary_without_words_is_refused():
    with pytest.raises(ConfigError, match=r"has no words.*data\.source\.least"):
        SkipGram(net=WordTables(vocab=3, width=1), vocab=3, vocabulary=Vocabulary(WORDS[:3], "words").state())


def test_characters_have_no_vectors_and_too_many_words_no_counts():
    with pytest.raises(ConfigError, match=r"data\.source\.level=words"):
        SkipGram(net=WordTables(vocab=2, width=1), vocab=2, vocabulary=Vocabulary(["a", "b"], "characters").state())
    with pytest.raises(ConfigError, match="too many"):
        Glove(net=WordTables(vocab=10_001, width=1, bias=True), vocab=10_001)


def test_vectors_are_trained_asked_and_handed_on(dl):
    assert dl("train", "model=skipgram", "epochs=2", "name=words")[0] == 0
    (run,) = Path("outputs").glob("words-*/*")
    assert dl("sample", str(run), "sampler=text", "sampler.prompt=The", "n=4")[0] == 0
    code, _, err = dl("sample", str(run), "sampler=text", "sampler.prompt=The", "sampler.length=4", "sampler.beam=2")
    said = "sampler.length=4, sampler.beam=2: the nearest words are told, and nothing is written; leave them out"
    assert (code, err) == (2, f"dl: {said}\n")
    Path("questions.txt").write_text(": articles\nA the a the\n: unknown\nxyzzy a b c\n", encoding="utf-8")
    code, out, _ = dl("eval", str(run), "analogies=questions.txt")
    assert (code, "articles" in out) == (0, True)
    report = json.loads((run / "report-analogies.json").read_text(encoding="utf-8"))
    assert report["counts"]["unknown"] == {"right": 0, "known": 0, "asked": 1}
    assert report["counts"]["articles"] == {"right": report["counts"]["articles"]["right"], "known": 1, "asked": 1}
    assert report["counts"]["all together"]["asked"] == 2
    Path("own.txt").write_text("a the a the\n: all together\na the a the\n", encoding="utf-8")
    assert dl("eval", str(run), "analogies=own.txt")[0] == 0
    report = json.loads((run / "report-analogies.json").read_text(encoding="utf-8"))
    assert {name: row["asked"] for name, row in report["counts"].items()} == {"all": 1, "all together": 1}
    assert dl("eval", str(run), "analogies=nowhere.txt")[0] == 3
    reader = ("train", "model=text_sum", f"init_from={run}", f"data.source.vocabulary={run}", "epochs=1", "name=sum")
    assert dl(*reader)[0] == 0
    assert dl("eval", str(next(Path("outputs").glob("sum-*/*"))), "analogies=questions.txt")[0] == 0  # as its net reads


def test_a_run_without_words_says_which_runs_have_them(dl):
    assert dl("train", "model=softmax", "data=digits8", "epochs=1")[0] == 0
    code, _, err = dl("eval", "analogies=questions.txt")
    assert (code, "train some with model=skipgram" in err) == (2, True)
