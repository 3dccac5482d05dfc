"""Translating: loss, teacher forcing, search, scores, what is shown, and that dates are learned."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dlcli.batch import Translations
from dlcli.errors import ConfigError, RunError
from dlcli.model import Clock
from dlcli.models.seq2seq import PIXELS, Seq2Seq
from dlcli.models.speech import Speech, agreement
from dlcli.nets.seq2seq import Seq2Seq as Recurrent
from dlcli.nets.transformer import Transformer
from dlcli.samplers import Prior, Text
from dlcli.tokens import Vocabulary

SPECIAL = ("<pad>", "<unk>", "<bos>", "<eos>")
BEGIN, END = 2, 3
SENTENCE = "the dog sees a cat and the cat | runs"
WORDS = Vocabulary.learn([SENTENCE], level="words", special=SPECIAL).state()
COUNT = len(Vocabulary.read(WORDS))
X = torch.tensor([[5, 6, 7, 8], [4, 5, 0, 0], [9, 8, 7, 0]])
Y = torch.tensor([[BEGIN, 5, 6, 7, END], [BEGIN, 8, END, 0, 0], [BEGIN, 1, 4, END, 0]])
BATCH = Translations(X, Y)


def rule(**options) -> Seq2Seq:
    torch.manual_seed(0)
    net = options.pop("net", None) or Recurrent(vocab=COUNT, source_vocab=COUNT, width=16)
    known = {"vocabulary": WORDS, "source_vocabulary": WORDS}
    return Seq2Seq(**{"net": net, "context": 7, "source_context": 6, **known, **options}).eval()


def logits_of(model: Seq2Seq, y: torch.Tensor = Y) -> torch.Tensor:
    return model.net.decode(y[:, :-1], model.net.encode(X))[0]


def test_the_loss_is_the_mean_over_real_tokens():
    model = rule()
    logs = logits_of(model).log_softmax(-1)
    told = [logs[b, t, Y[b, t + 1]] for b in range(3) for t in range(4) if Y[b, t + 1] != 0]
    assert model.loss(BATCH).item() == pytest.approx(-torch.stack(told).mean().item(), rel=1e-5)
    smooth = [0.9 * one + 0.1 * logs[b, t].mean() for one, (b, t) in zip(told, (Y[:, 1:] != 0).nonzero(), strict=True)]
    assert rule(smoothing=0.1).loss(BATCH).item() == pytest.approx(-torch.stack(smooth).mean().item(), rel=1e-5)


def test_what_stands_behind_the_end_changes_nothing():
    wide = Translations(F.pad(X, (0, 2)), F.pad(Y, (0, 2)))
    assert torch.allclose(rule().loss(wide), rule().loss(BATCH))


def test_a_teacher_that_tells_all_or_nothing():
    model = rule()
    source = model.net.encode(X)
    assert torch.allclose(model.led(Y[:, :-1], source, 1.0), logits_of(model), atol=1e-5)
    alone = model.led(Y[:, :-1], source, 0.0)
    own = torch.cat((Y[:, :1], alone.argmax(-1)), dim=1)
    assert torch.allclose(alone, logits_of(model, own), atol=1e-5)


def test_the_share_of_the_teacher_goes_from_its_first_to_its_second_value(monkeypatch):
    model, told = rule(teacher=[1.0, 0.2]), []
    monkeypatch.setattr(model, "loss", lambda batch, teacher: told.append(teacher) or torch.zeros(()))
    for step in (0, 5, 10):
        list(model.updates(BATCH, Clock(step, 10)))
    assert told == pytest.approx([1.0, 0.6, 0.2])


def test_greedy_translation_takes_the_likeliest_token_that_may_be_written():
    model, never = rule(), [0, 1, BEGIN]
    text, source = torch.full((3, 1), BEGIN), model.net.encode(X)
    for _ in range(6):
        logits = model.net.decode(text, source)[0][:, -1].index_fill(1, torch.tensor(never), -torch.inf)
        text = torch.cat((text, logits.argmax(1, keepdim=True)), dim=1)
    found = model.translate(X, 1)
    for ours, theirs in zip(found.tolist(), text[:, 1:].tolist(), strict=True):
        length = theirs.index(END) + 1 if END in theirs else 6
        assert ours == theirs[:length] + [0] * (len(ours) - length)
    assert not torch.isin(found[found != 0], torch.tensor(never)).any()


def test_a_beam_finds_nothing_less_probable_than_greedy_does():
    for seed in range(5):
        torch.manual_seed(seed)
        model = rule(penalty=0.0, net=Recurrent(vocab=COUNT, source_vocab=COUNT, width=16))
        with torch.no_grad():
            model.net.embedding.weight.mul_(3)  # sharper, so that greedy goes astray
        assert (probability(model, 4) >= probability(model, 1) - 1e-4).all()


def probability(model: Seq2Seq, width: int) -> torch.Tensor:
    """Log probability of the translations, (B,), among the tokens that may be written."""
    found = model.translate(X, width)
    given = torch.cat((torch.full((3, 1), BEGIN), found[:, :-1]), dim=1)
    logits = model.net.decode(given, model.net.encode(X))[0].index_fill(-1, torch.tensor([0, 1, BEGIN]), -torch.inf)
    told = logits.log_softmax(-1).gather(-1, found[..., None])[..., 0]
    return told.masked_fill(found == 0, 0).sum(1)


def test_every_token_counts_the_same_whatever_the_length_of_its_text():
    model = rule()
    scores = model.score(model.measure(BATCH))
    assert scores["loss"] == pytest.approx(model.loss(BATCH).item(), rel=1e-5)
    assert scores["perplexity"] == pytest.approx(torch.tensor(scores["loss"]).exp().item(), rel=1e-5)
    hits = (logits_of(model).argmax(-1) == Y[:, 1:]) & (Y[:, 1:] != 0)
    assert scores["accuracy"] == pytest.approx(hits.sum().item() / 9)


def test_only_the_first_hundred_of_a_batch_are_translated_meanwhile():
    model = rule()
    many = Translations(X[:1].repeat(130, 1), Y[:1].repeat(130, 1))
    measured = model.measure(many)
    assert measured["loss"].shape == (130,)
    assert (measured["guess"][:, 0] != 0).tolist() == [True] * 100 + [False] * 30
    assert torch.allclose(measured["loss"], measured["loss"][:1].expand(130))


def test_texts_are_spelled_and_read():
    speech = Speech(WORDS)
    numbers = speech.read(["the cat runs", "a dragon"])
    assert speech.spell(numbers[0]) == "the cat runs"
    assert speech.spell(numbers[1]) == "a ⁇"
    assert speech.vocabulary.strange(["a dragon sees a big dragon"]) == ["dragon", "big"]
    assert speech.labels(torch.tensor([*numbers[0].tolist(), END, 0])) == ["the", "cat", "runs", "<eos>"]
    assert Speech(None).spell(torch.tensor([4, 5, 0])) == "4 5"
    dates = Speech(Vocabulary.learn(["1 may"], level="characters", special=SPECIAL).state())
    assert dates.labels(dates.read(["1 m"])[0]) == ["1", "␣", "m"]
    assert not dates.has_words
    with pytest.raises(ConfigError, match="knows no vocabulary"):
        Speech(None).read(["a"])
    with pytest.raises(RunError, match="the vocabulary is damaged"):
        Speech("[1]")


def test_agreement_of_texts():
    assert agreement([("A cat runs .", "a cat runs ."), ("1", "1")]) == {"bleu": pytest.approx(100), "exact": 0.5}


def test_translations_of_any_length_stand_in_one_report(monkeypatch):
    monkeypatch.setattr("dlcli.models.seq2seq.ROWS", 1)
    model = rule()
    measured = model.measure(BATCH)
    told = iter(range(2, 2 + len(BATCH.x)))
    monkeypatch.setattr(model, "translate", lambda x, beam: torch.full((1, next(told)), 3))  # ever longer
    assert len(model.report(measured)["translations"]) == len(BATCH.x)


def test_the_report_translates_and_draws():
    model = rule()
    report = model.report(model.measure(BATCH))
    assert {"bleu", "exact", "translations", "attention", "beam", "length_penalty"} <= report.keys()
    assert report["translations"][1]["reference"] == Speech(WORDS).spell(Y[1])
    assert len(report["attention"].axes) == 3
    assert [label.get_text() for label in report["attention"].axes[1].get_xticklabels()] == model.source.labels(X[1])
    several = rule(net=Transformer(vocab=COUNT, width=8, heads=2, hidden=8, depth=1, dropout=0.0))
    axes = several.report(several.measure(BATCH))["attention"].axes
    assert [one.get_xlabel() for one in axes] == ["head 1", "head 2"] * 3
    plain = rule(net=Recurrent(vocab=COUNT, source_vocab=COUNT, width=8, attention="none", bidirectional=False))
    assert "attention" not in plain.report(plain.measure(BATCH))
    assert plain.show(BATCH).keys() == {"translations"}


def test_what_is_shown_is_a_table_and_a_picture():
    shown = rule().show(BATCH)
    lines = shown["translations"].split("\n")
    assert lines[:2] == ["| source | translation (greedy) | reference |", "|--|--|--|"]
    assert len(lines) == 5
    assert shown["attention"].shape[:2] == (3, 1)
    assert 0 <= shown["attention"].min() <= shown["attention"].max() <= 1
    several = rule(net=Transformer(vocab=COUNT, width=8, heads=2, hidden=8, depth=1, dropout=0.0))
    shown = several.show(BATCH)["attention"]
    high, wide = shown.shape[2:]
    assert (high, wide) == (2 * PIXELS * (several.context - 1) + PIXELS, PIXELS * 4)  # a line between two heads
    assert shown[:, 0, PIXELS * (several.context - 1)].eq(1).all()
    assert not torch.equal(shown[:, :, : PIXELS * 6], shown[:, :, -PIXELS * 6 :])
    barred = Vocabulary.read(WORDS).encode("cat | runs")
    assert r"cat \| runs" in rule().show(Translations(torch.tensor([barred]), Y[:1]))["translations"]


def test_sources_of_the_training_are_remembered_and_prompts_translated():
    model = rule()
    assert len(list(model.updates(BATCH, Clock(0, 10)))) == 1
    model.heard[0, 0] = 6
    list(model.updates(Translations(X + 1, Y), Clock(1, 10)))
    assert model.heard[:3, :4].tolist() == [[6, 6, 7, 8], *X[1:].tolist()]
    told = model.sample(2, Prior())
    assert [line.split(" -> ")[0] for line in told] == [model.source.spell(row) for row in model.heard[:2]]
    asked = Text(prompt="the cat\n\na dragon runs", beam=2)
    assert len(model.sample(1, asked)) == 2
    assert model.remarks(asked) == ["note: unknown to the net: dragon"]
    assert model.remarks(Text(prompt="a b c d e f g"))[0].endswith("b, c, d, e, f and 1 more")
    assert model.remarks(Prior()) == []
    assert all(len(line.split()) <= 1 for line in model.sample(1, Text(prompt="the cat", length=1)))
    with pytest.raises(ConfigError, match=r"a translation is searched, not drawn: leave out sampler\.temperature"):
        model.sample(1, Text(prompt="the cat", top_k=3))
    with pytest.raises(ConfigError, match=r"sampler\.label=cat: Seq2Seq draws from no chosen class"):
        model.sample(1, Prior(label="cat"))


def test_shares_and_widths_out_of_range_are_refused():
    for teacher in ([1.0], [1.0, 1.5]):
        with pytest.raises(ConfigError, match=r"shares in \[0, 1\] at the start and the end, such as \[1.0, 0.5\]"):
            rule(teacher=teacher)
    with pytest.raises(ConfigError, match="beam=0: at least 1"):
        rule(beam=0)
    with pytest.raises(ConfigError, match=r"source_vocab=null: source and target have vocabularies of their own"):
        rule(net=Recurrent(vocab=COUNT, width=16), source_vocabulary=None)


def reversals(count: int) -> Translations:
    """Texts of two to four letters, to be written backwards."""
    x, y = torch.zeros(count, 4, dtype=torch.long), torch.zeros(count, 6, dtype=torch.long)
    for i, length in enumerate(torch.randint(2, 5, (count,)).tolist()):
        x[i, :length] = torch.randint(4, 10, (length,))
        y[i, : length + 2] = torch.tensor([BEGIN, *x[i, :length].flip(0).tolist(), END])
    return Translations(x, y)


NETS = {
    "attention": lambda: Recurrent(vocab=10, source_vocab=10, width=24),
    "transformer": lambda: Transformer(vocab=10, width=32, heads=4, hidden=64, depth=1, dropout=0.0, norm="pre"),
}


@pytest.mark.parametrize("kind", NETS)
def test_it_learns_to_turn_texts_round(kind):
    torch.manual_seed(0)
    letters = Vocabulary([*SPECIAL, *"abcdef"], "characters").state()
    model = Seq2Seq(
        net=NETS[kind](), context=6, source_context=4, vocabulary=letters, source_vocabulary=letters, teacher=[1.0, 0.9]
    )
    steps, exam = 150, reversals(60)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, steps)
    for step in range(steps):
        for update in model.updates(reversals(32), Clock(step, steps)):
            optimizer.zero_grad()
            update.loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    scores = model.eval().score(model.measure(exam))
    assert scores["greedy_exact"] > 0.7
    if kind == "attention":  # the last letter is written first
        looks = model.looks(exam.x[:1], exam.y[:1, 1:])[0, 0]
        assert looks.argmax(-1)[0] >= (exam.x[0] != 0).sum() - 2


def test_dates_from_the_command_line(dl):
    words = ("model.net.width=16", "epochs=1", "limit=0.1", "limit_valid=0.2", "device.threads=1")
    assert dl("train", "model=seq2seq_attention", *words)[0] == 0
    run = next(Path("outputs").glob("*/*/run.json")).parent
    assert dl("verify", str(run), "steps=2")[0] == 0
    code, out, err = dl("sample", str(run), "sampler=text", "sampler.prompt='3 märz 1999'", "sampler.beam=2")
    assert code == 0, err
    assert "note: unknown to the net: ä" in out
    code, out, err = dl("eval", str(run), "see=[]", "mistakes=3")
    assert code == 0, err
    assert "exact" in out
    report = json.loads((run / "report-test.json").read_text())
    assert len(report["translations"]) == 20
    assert (run / "figures" / "test-attention.png").stat().st_size > 1000
    assert (run / "figures" / "test-worst-translations.txt").read_text().count("\n") == 5
