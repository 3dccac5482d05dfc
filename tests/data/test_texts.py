"""Short texts: tables of tokens, buckets, labels, pairs of languages and of sentences, and the official sets."""

import functools
import hashlib
import io
import json
import os
import random
import tarfile
from datetime import date
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from dlcli.batch import IGNORED, PAD, Tokens, Translations
from dlcli.config import paths
from dlcli.config.build import build
from dlcli.data import labelled, multi30k
from dlcli.data.augment import Flip
from dlcli.data.dates import Dates, written
from dlcli.data.labelled import SST2, Lines, Names
from dlcli.data.multi30k import Multi30k
from dlcli.data.parallel import ParallelFiles
from dlcli.data.reading import Texts
from dlcli.data.running import Shakespeare
from dlcli.data.sentences import Sentences, fitted, paired, sentences
from dlcli.data.serving import serve
from dlcli.data.splits import check, resample
from dlcli.data.tagged import Tagged
from dlcli.data.topics import LONG, Capitals, Passages, passages, topics
from dlcli.data.without import leave_out
from dlcli.errors import ConfigError, DataError, DlError
from dlcli.tokens import Vocabulary, words

REAL = Path(os.environ.get("DL_DATA", "/nowhere")).expanduser()


def real(name):
    return pytest.mark.skipif(not (REAL / name).is_dir(), reason="needs DL_DATA with the official files")


def ragged(count=600, longest=40):
    lengths = torch.randint(1, longest + 1, (count,), generator=torch.Generator().manual_seed(0))
    x = torch.where(torch.arange(longest) < lengths[:, None], torch.arange(count)[:, None] + 1, PAD).int()
    return Tokens(x, torch.arange(count) % 3), lengths


def padding(batches):
    return sum(int((batch.x == PAD).sum()) for batch in batches) / sum(batch.x.numel() for batch in batches)


def test_buckets_cut_the_padding_and_lose_nothing():
    split, lengths = ragged()
    loader = serve(split, size=16, seed=1)
    assert isinstance(loader, Texts)
    batches = list(loader.epoch(0))
    at_random = [split.x[rows] for rows in torch.randperm(600, generator=torch.Generator().manual_seed(0)).split(16)]
    trimmed = [x[:, : int((x != PAD).sum(1).max())] for x in at_random]
    share = sum(int((x == PAD).sum()) for x in trimmed) / sum(x.numel() for x in trimmed)
    assert padding(batches) < 0.15 < 0.4 < share
    seen = torch.cat([batch.x[:, 0] - 1 for batch in batches])
    assert seen.sort().values.equal(torch.arange(600))
    for batch in batches:
        rows = batch.x[:, 0] - 1
        assert batch.y.equal(rows % 3)
        assert batch.x.shape[1] == lengths[rows].max()
        assert batch.x.dtype == batch.y.dtype == torch.int64
    assert loader.rows(0, 3).equal(batches[3].x[:, 0] - 1)
    widths = [batch.x.shape[1] for batch in batches]
    assert widths != sorted(widths)  # short texts do not come first


def test_an_epoch_goes_on_anywhere_and_every_epoch_is_another():
    split, _ = ragged()
    whole = list(serve(split, size=16, seed=1).epoch(4))
    rest = list(serve(split, size=16, seed=1).epoch(4, start=30))
    assert all(a.x.equal(b.x) for a, b in zip(rest, whole[30:], strict=True))
    assert not all(a.x.equal(b.x) for a, b in zip(whole, serve(split, size=16, seed=1).epoch(5), strict=True))
    assert not all(a.x.equal(b.x) for a, b in zip(whole, serve(split, size=16, seed=2).epoch(4), strict=True))
    lone = list(serve(Tokens(split.x[:33], split.y[:33]), size=16).epoch(0))
    assert [batch.size for batch in lone] == [16, 16]


def test_what_is_evaluated_stands_in_its_order():
    split, lengths = ragged()
    batches = list(serve(split, size=100, shuffle=False).epoch(0))
    assert torch.cat([batch.x[:, 0] for batch in batches]).equal(torch.arange(1, 601))
    assert serve(split, size=100, shuffle=False).take([]).size == 0
    found = serve(split, size=100, shuffle=False).take([5, 2])
    assert found.x.shape == (2, max(lengths[5], lengths[2]))
    assert found.y.tolist() == [2, 2]


def test_answers_to_tokens_and_both_sides_of_pairs_are_cut_alike():
    split, lengths = ragged()
    answers = torch.where(split.x > 0, split.x % 5, IGNORED)
    batch = next(serve(Tokens(split.x, answers), size=16).epoch(0))
    assert batch.y.shape == batch.x.shape
    plain = Tokens(torch.zeros(4, 6, dtype=torch.int32), torch.ones(4, 6, dtype=torch.int32))
    assert next(serve(plain, size=4).epoch(0)).x.shape == (4, 6)  # number 0 is a token here, not padding
    pairs = Translations(split.x, split.x.flip(0))
    batch = next(serve(pairs, size=16).epoch(0))
    assert (batch.x.shape[1], batch.y.shape[1]) == (
        lengths[batch.x[:, 0] - 1].max(), lengths[batch.y[:, 0] - 1].max(),
    )  # fmt: skip
    with pytest.raises(ConfigError, match="augment=Flip got rows of shape"):
        serve(pairs, size=16, augment=Flip())


def test_shares_and_classes_left_out():
    splits = Passages(lower=True, size=1000).load(Path())
    assert serve(splits.train, size=10, limit=0.5).examples == -(-splits.train.size // 2)
    assert resample(splits.train, 0).size == splits.train.size
    left = leave_out(splits, ["types"])
    assert 2 not in left.train.y
    assert 2 in left.test.y
    assert left.facts["vocab"] == 1000
    with pytest.raises(ConfigError, match=r"without=typs: no such class; did you mean types\?"):
        leave_out(splits, ["typs"])
    with pytest.raises(ConfigError, match="do not name one class"):
        leave_out(Capitals().load(Path()), ["capital"])


def test_passages_are_words_of_topics():
    splits = Passages(lower=True, size=1000).load(Path())
    check(splits, 8)
    known = Vocabulary.read(splits.facts["vocabulary"])
    assert (splits.facts["context"], splits.facts["names"], len(known)) == (20, list(LONG), 1000)
    assert splits.train.x.shape[1] == 20
    assert splits.train.y.bincount().min() > 50
    cut = passages(topics()["debugger"], 7)
    assert all(len(words(passage)) == 7 for passage in cut)
    assert passages("one two three four five", 2) == ["one two", "three four"]


def test_capitals_are_asked_of_letters_alone():
    splits = Capitals().load(Path())
    check(splits, 2)
    known = Vocabulary.read(splits.facts["vocabulary"])
    assert known.tokens[0] == "<pad>"
    for x, y in zip(splits.valid.x[:50].tolist(), splits.valid.y[:50].tolist(), strict=True):
        text = known.decode(x)
        assert len(text) == 64
        assert text == text.lower()
        assert [answer != IGNORED for answer in y] == [c.isalpha() for c in text]
    assert 0.01 < (splits.train.y == 1).float().mean() < 0.05
    assert "labels" not in splits.facts
    bad = splits.train.y.clone()
    bad[3, 4] = 2
    with pytest.raises(DataError, match=r"1 of .* labels outside the rule"):
        check(splits._replace(train=Tokens(splits.train.x, bad)), 2)


def table(folder, rows, name="a.csv"):
    (folder / name).write_text("text,label\n" + "\n".join(rows) + "\n")
    return name


def test_texts_of_the_user(tmp_path):
    rows = [f'"{"very " * (n % 7)}good, word{n}",pos' if n % 2 else f"BAD word{n},neg" for n in range(60)] + ["...,neg"]
    source = {"path": table(tmp_path, rows), "lower": True, "longest": 5, "least": 2, "level": "words"}
    splits = Lines(**source).load(tmp_path)
    check(splits, 2)
    known = Vocabulary.read(splits.facts["vocabulary"])
    assert splits.facts["names"] == ["neg", "pos"]
    assert splits.facts["labels"] == 1
    assert set(known.tokens) == {"<pad>", "<unk>", "bad", "good", "very", ",", "word"} | ({"."} & set(known.tokens))
    assert splits.facts["context"] == splits.train.x.shape[1] == 5
    assert len(splits.facts["notes"]) == 1
    assert "of 61 texts cut to 5 tokens" in splits.facts["notes"][0]
    framed = Lines(**source, frame="bert").load(tmp_path).train.x
    marks = Vocabulary.read(Lines(**source, frame="bert").load(tmp_path).facts["vocabulary"])
    assert (framed[:, 0] == marks.cls).all()
    assert ((framed == marks.sep).sum(1) == 1).all()
    assert all(row[row != PAD][-1] == marks.sep for row in framed)
    fixed = Lines(**source, vocabulary=splits.facts["vocabulary"]).load(tmp_path)
    assert fixed.train.x.equal(splits.train.x)
    with pytest.raises(DataError, match=r"data\.source\.vocabulary: it has no <cls> <sep>"):
        Lines(**source, frame="bert", vocabulary=splits.facts["vocabulary"]).load(tmp_path)


def test_a_text_without_tokens_is_one_unknown_token(tmp_path):
    rows = [f"word,{n % 2}" for n in range(20)] + [f'"  ",{n % 2}' for n in range(20)]
    splits = Lines(path=table(tmp_path, rows)).load(tmp_path)
    assert set(splits.train.x.flatten().tolist()) == {1, 2}


@pytest.mark.parametrize(
    ("rows", "options", "words"),
    [
        (["a,x", "b,", "c,y", "d, "], {}, r"a.csv, line 3: no label, nor in 1 more rows; every text needs a label"),
        (["a,x", "b,x"], {}, r"1 labels; there must be 2 to 1000 different ones"),
        (["a,x", "b,y"], {"label": "class"}, r"0 columns 'class'; the first line names text, label"),
        (["a,x", "b,y"], {"longest": 2}, "longest three tokens or more"),
        (["a,x", "b,y"], {"frame": "page"}, "frame='page'"),
        (["a,x", "b,y"], {"vocabulary": "runs/none"}, "data.source.vocabulary=runs/none: no folder of a run"),
        (["a,x", "b,y"], {"vocabulary": "{"}, "the vocabulary is damaged"),
    ],
)
def test_tables_that_cannot_be_learned_from(tmp_path, rows, options, words):
    with pytest.raises(DlError, match=words):
        Lines(path=table(tmp_path, rows), **options).load(tmp_path)


def test_a_vocabulary_is_taken_from_the_folder_of_a_run(tmp_path):
    name = table(tmp_path, [f"word{n % 3} a,{n % 2}" for n in range(40)])
    known = Vocabulary.learn(["a word"], level="words", special=("<pad>", "<unk>"))
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text(json.dumps({"config": {"data": {"vocabulary": known.state()}}}))
    assert Lines(path=name, vocabulary="run").load(tmp_path).facts["vocab"] == 4
    for content in ("{}", '{"config": {"data": 3}}', "[", '{"config": {"data": {"vocabulary": null}}}'):
        (run / "run.json").write_text(content)
        with pytest.raises(DataError, match=r"data\.source\.vocabulary=run: no"):
            Lines(path=name, vocabulary="run").load(tmp_path)


def test_dates_are_right():
    splits = Dates(samples=1000).load(Path())
    check(splits, None)
    reads, writes = (Vocabulary.read(splits.facts[name]) for name in ("source_vocabulary", "vocabulary"))
    assert (splits.facts["kind"], splits.facts["vocab"], splits.facts["source_vocab"]) == ("translations", 15, 39)
    seen = set()
    for part in splits[:3]:
        for x, y in zip(part.x.tolist(), part.y.tolist(), strict=True):
            assert (y[0], y[-1]) == (writes.begin, writes.end)
            assert reads.decode(x) in written(date.fromisoformat(writes.decode(y)))
            seen.add(reads.decode(x))
    assert len(seen) == 1000  # no pair is in two splits
    assert written(date(1987, 9, 30))[3] == "wednesday, 30 september 1987"
    assert written(date(2000, 2, 3))[4:] == ["3rd of february 2000", "03.02.2000", "feb 3rd, 2000"]
    assert Dates().load(Path()).facts["source_context"] == 28


def test_pairs_of_the_user(tmp_path):
    pairs = [(f"ein Wort{n}", f"one Word{n} more") for n in range(40)] + [("lang " * 9, "long"), ("", "empty")]
    (tmp_path / "a.tsv").write_text("\n".join("\t".join(pair) for pair in pairs) + "\n")
    splits = ParallelFiles(path="a.tsv", lower=True, longest=8).load(tmp_path)
    check(splits, None)
    assert sum(part.size for part in splits[:3]) in (40, 41)
    assert splits.facts["notes"][0] == "1 of 42 pairs left out: a side of them is empty"
    reads, writes = (Vocabulary.read(splits.facts[name]) for name in ("source_vocabulary", "vocabulary"))
    assert reads.tokens[:4] == writes.tokens[:4] == ["<pad>", "<unk>", "<bos>", "<eos>"]
    assert "ein" in reads.tokens
    assert "ein" not in writes.tokens
    row = splits.train.y[0]
    assert (row[0], row[row != PAD][-1]) == (2, 3)
    joint = ParallelFiles(path="a.tsv", joint=True).load(tmp_path).facts
    assert joint["vocabulary"] == joint["source_vocabulary"]
    for name, column in (("a.de", 0), ("a.en", 1)):
        (tmp_path / name).write_text("\r\n".join(pair[column] for pair in pairs) + "\r\n")
    two = ParallelFiles(path="a.de", other="a.en", lower=True, longest=8).load(tmp_path)
    assert two.train.x.equal(splits.train.x)
    assert two.train.y.equal(splits.train.y)


def test_both_vocabularies_of_a_translator_are_taken_from_the_folder_of_a_run(tmp_path):
    (tmp_path / "a.tsv").write_text("\n".join(f"ein Wort{n}\tone Word{n}" for n in range(40)) + "\n")
    splits = ParallelFiles(path="a.tsv", lower=True).load(tmp_path)
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text(json.dumps({"config": {"data": splits.facts}}))
    (tmp_path / "b.tsv").write_text("\n".join(f"zwei Wort{n}\ttwo Word{n}" for n in range(40)) + "\n")
    again = ParallelFiles(path="b.tsv", lower=True, vocabulary="run", source_vocabulary="run").load(tmp_path).facts
    assert {name: again[name] for name in ("vocabulary", "source_vocabulary")} == {
        "vocabulary": splits.facts["vocabulary"],
        "source_vocabulary": splits.facts["source_vocabulary"],
    }
    (run / "run.json").write_text(json.dumps({"config": {"data": {"vocabulary": splits.facts["vocabulary"]}}}))
    with pytest.raises(DataError, match=r"source_vocabulary=run: no folder of a run that learned a source vocabulary"):
        ParallelFiles(path="b.tsv", source_vocabulary="run").load(tmp_path)


def test_long_pairs_are_left_out_of_the_training_alone(tmp_path):
    (tmp_path / "a.tsv").write_text("\n".join(f"{'a ' * (1 + n % 10)}\tb" for n in range(100)))
    splits = ParallelFiles(path="a.tsv", longest=5).load(tmp_path)
    assert (splits.train.x != PAD).sum(1).max() == 5
    assert splits.valid.size == splits.test.size == 10
    assert splits.facts["source_context"] == splits.valid.x.shape[1] > 5
    assert "of 80 training pairs left out: longer than 5 tokens" in splits.facts["notes"][0]


@pytest.mark.parametrize(
    ("content", "other", "words"),
    [
        ("a\tb\nc\n", None, "a.tsv, line 2: 0 tabs; one stands between source and target"),
        ("a\tb\tc\n", None, "line 1: 2 tabs"),
        ("a\nb\nc\n", "x\ny\n", r"a.tsv has 3 lines, .*b.txt 2: line by line they must belong together"),
    ],
)
def test_lines_that_are_no_pairs(tmp_path, content, other, words):
    (tmp_path / "a.tsv").write_text(content)
    if other:
        (tmp_path / "b.txt").write_text(other)
    with pytest.raises(DataError, match=words):
        ParallelFiles(path="a.tsv", other=other and "b.txt").load(tmp_path)


def test_sentences_are_paired_half_and_half():
    found = [f"sentence {n}" for n in range(2000)]
    pairs = paired(found, random.Random(0))
    assert len(pairs) == 1999
    assert 0.45 < sum(follows for *_, follows in pairs) / 1999 < 0.55
    for place, (one, two, follows) in enumerate(pairs):
        assert one == found[place]
        assert (two == found[place + 1]) is bool(follows)
    assert sentences('One is. "Two!" Three, e.g. this?\nFour\n\nFive') == [
        "One is.",
        '"Two!"',
        "Three, e.g. this?",
        "Four",
        "Five",
    ]
    for one, two in ((10, 10), (3, 10), (10, 3), (1, 1), (30, 2), (2, 30)):
        first, second = fitted([1] * one, [2] * two, 9)
        assert len(first) + len(second) == min(9, one + two)
        assert min(len(first), len(second)) >= min(one, two, 4)


def test_pairs_of_sentences_stand_between_their_marks():
    splits = Sentences(lower=True, size=2000, longest=32).load(Path())
    check(splits, 2)
    known = Vocabulary.read(splits.facts["vocabulary"])
    assert splits.facts["vocab"] == len(known) == 2000
    x = splits.train.x
    assert x.shape[1] == 32
    assert (x[:, 0] == known.cls).all()
    assert ((x == known.sep).sum(1) == 2).all()
    assert known.mask == 4
    assert not (x == known.mask).any()
    assert 0.4 < splits.train.y.float().mean() < 0.6
    assert splits.train.size > 1000
    other = Sentences(lower=True, size=2000, longest=32, split_seed=1).load(Path())
    assert not other.train.y.equal(splits.train.y)


def test_sentences_of_files(tmp_path):
    (tmp_path / "a.txt").write_text("This is one sentence. It has another one! " * 50)
    splits = Sentences(texts=["a.txt", "topics"], lower=True).load(tmp_path)
    alone = Sentences(texts=["a.txt"]).load(tmp_path)
    assert splits.train.size > alone.train.size == 79
    (tmp_path / "a.txt").write_text("This is one sentence.")
    with pytest.raises(DataError, match=r"data.source.texts: a.txt has 1 sentences; at least 60"):
        Sentences(texts=["a.txt"]).load(tmp_path)
    with pytest.raises(ConfigError, match=r"longest=4, texts=\[\]"):
        Sentences(texts=[], longest=4).load(tmp_path)


def archive(members):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


def test_names_are_read_from_the_archive_and_nothing_else_is(tmp_path, monkeypatch):
    many = "\n".join(f"Name{n}" for n in range(20)).encode()
    content = archive(
        [("data/names/Greek.txt", many), ("../../Evil.txt", many), ("data/names/Czech.txt", many.replace(b"N", b"M"))]
    )
    monkeypatch.setattr(labelled, "NAMES_FILE", (len(content), hashlib.sha256(content).hexdigest()))
    (tmp_path / "names").mkdir()
    (tmp_path / "names" / "names.tar.gz").write_bytes(content)
    splits = Names().load(tmp_path)
    assert splits.facts["names"] == ["Czech", "Greek"]
    assert [part.size for part in splits[:3]] == [32, 4, 4]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["names", "names.tar.gz"]
    (tmp_path / "names" / "names.tar.gz").write_bytes(content[:-1] + b"?")
    with pytest.raises(DataError, match="SHA-256"):
        Names().load(tmp_path)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (Names(), r"no .*names.tar.gz: put names.tar.gz of github.com/spro/.*data=passages"),
        (SST2(), r"no .*train.tsv: put train.tsv, dev.tsv and test.tsv of github.com/clairett/"),
        (Multi30k(), r"no .*train.de.gz: put the folder task1/raw of github.com/multi30k/.*data=dates"),
        (Shakespeare(), r"no .*input.txt: put input.txt of github.com/karpathy/.*data=topics"),
    ],
)
def test_missing_files_are_told_with_their_place(tmp_path, source, words):
    with pytest.raises(DataError, match=words):
        source.load(tmp_path)


def test_languages_that_are_not_there(tmp_path, monkeypatch):
    for options in ({"source": "cs"}, {"source": "en"}, {"exam": "test_2019"}):
        with pytest.raises(ConfigError, match="two of de, en, fr, and one of test_2016_flickr, test_2017_flickr"):
            Multi30k(**options).load(tmp_path)
    raw = tmp_path / "multi30k" / "task1" / "raw"
    raw.mkdir(parents=True)
    (raw / "train.de").write_text("Ein Satz.\n")
    with pytest.raises(DataError, match=r"train.de has SHA-256 .*it is damaged or another file"):
        multi30k.sentences(tmp_path / "multi30k", "train", "de")


@functools.cache
def as_stated(name):
    """Return the facts that a file of conf/data states, and what its source loads."""
    config = OmegaConf.create({"data": OmegaConf.load(paths.options("data")[name])})
    stated = OmegaConf.to_container(config, resolve=True)["data"]
    return stated, build(stated["source"]).load(REAL)


FILES = {"shakespeare": "tinyshakespeare", "names": "names", "sst2": "sst2", "multi30k": "multi30k"}


@pytest.mark.parametrize("name", ["topics", "passages", "capitals", "sentences", "dates", *FILES])
def test_the_files_state_the_facts(name):
    if name in FILES and not (REAL / FILES[name]).is_dir():
        pytest.skip("needs DL_DATA with the official files")
    stated, splits = as_stated(name)
    check(splits, stated.get("classes"))
    for fact in ("kind", "vocab", "context", "source_vocab", "source_context", "classes", "names"):
        assert stated.get(fact) == splits.facts.get(fact), fact
    assert stated["vocabulary"] is None


@real("sst2")
def test_official_sentiments():
    _, splits = as_stated("sst2")
    assert [part.size for part in splits[:3]] == [6920, 872, 1821]
    assert [int(part.y.sum()) for part in splits[:3]] == [3610, 444, 909]
    known = Vocabulary.read(splits.facts["vocabulary"])
    assert known.decode(splits.train.x[0].tolist()).startswith("a stirring, funny and finally transporting")


@real("names")
def test_official_names():
    _, splits = as_stated("names")
    assert [part.size for part in splits[:3]] == [16040, 2005, 2005]
    assert splits.facts["names"][0] == "Arabic"
    assert splits.test.y.bincount().max() == 938  # Russian: 47 %


@real("multi30k")
def test_official_captions():
    _, splits = as_stated("multi30k")
    assert [part.size for part in splits[:3]] == [29000, 1014, 1000]
    known = Vocabulary.read(splits.facts["vocabulary"])
    assert known.decode(splits.train.y[0].tolist()) == "two young, white males are outside near many bushes."


@real("tinyshakespeare")
def test_official_plays():
    splits = Shakespeare(valid=0.1, test=0).load(REAL)
    assert splits.facts["vocab"] == 65
    assert [len(part.tokens) for part in splits[:3]] == [1_003_854, 111_540, 111_540]


CONLL = """-DOCSTART- -X- O

Anna NNP B-PER
lives VBZ O
in IN O
Graz NNP B-LOC
. . O

# a comment
It PRP O
rains VBZ O
"""


def test_tagged_words_of_the_user(tmp_path):
    (tmp_path / "a.conll").write_text(CONLL * 20)
    splits = Tagged(path="a.conll").load(tmp_path)
    assert splits.facts["names"] == ["B-LOC", "B-PER", "O"]
    assert (splits.facts["context"], splits.facts["each"], [part.size for part in splits[:3]]) == (5, True, [32, 4, 4])
    known = Vocabulary.read(splits.facts["vocabulary"])
    row = next(i for i, x in enumerate(splits.train.x) if known.table["Anna"] in x)
    assert [known.tokens[n] for n in splits.train.x[row]] == ["Anna", "lives", "in", "Graz", "."]
    assert splits.train.y[row].tolist() == [1, 2, 2, 0, 2]
    short = next(i for i, x in enumerate(splits.train.x) if known.table["It"] in x)
    assert splits.train.y[short].tolist() == [2, 2, IGNORED, IGNORED, IGNORED]
    assert Tagged(path="a.conll", tag=1).load(tmp_path).facts["names"] == [".", "IN", "NNP", "PRP", "VBZ"]
    cut = Tagged(path="a.conll", longest=3).load(tmp_path)
    assert cut.facts["notes"] == ["20 of 40 sentences cut to 3 tokens"]
    assert cut.train.x.shape == (32, 3)


def test_the_tag_of_a_word_of_several_tokens_stands_at_the_first(tmp_path):
    (tmp_path / "a.conll").write_text("ab X\ncde Y\n\n" * 10)
    splits = Tagged(path="a.conll", level="characters").load(tmp_path)
    assert splits.train.y[0].tolist() == [0, IGNORED, 1, IGNORED, IGNORED]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a X\nb\n\n" * 9, r"line 2: 1 columns, and no word in column 0 with a tag in column -1; write both"),
        ("a X\n" * 9, r"1 sentences; three or more, with an empty line"),
        ("a X\n\n" * 9, r"1 tags; there must be 2 to 1000"),
        ("a\tX\n\nb\t\n\n" * 9, r"line 3: 2 columns, and no word"),
    ],
)
def test_tagged_words_that_cannot_be_learned_from(tmp_path, content, words):
    (tmp_path / "a.conll").write_text(content)
    with pytest.raises(DataError, match=words):
        Tagged(path="a.conll").load(tmp_path)
