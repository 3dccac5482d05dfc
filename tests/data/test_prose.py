"""Running text: windows that miss and repeat nothing, carried order, the cut, and what is refused."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from dlcli.batch import IGNORED, Tokens
from dlcli.data.prose import Prose
from dlcli.data.reading import Windows
from dlcli.data.running import TextFiles, parts
from dlcli.data.serving import serve
from dlcli.data.splits import check, resample
from dlcli.data.topics import LONG, PRINTED, Topics, topics
from dlcli.data.without import leave_out
from dlcli.data.wording import numbered
from dlcli.errors import ConfigError, DataError
from dlcli.tokens import Vocabulary


def prose(count=1003, context=10, order="shuffled"):
    return Prose(tokens=torch.arange(count, dtype=torch.int32), context=context, order=order)


def test_windows_at_rest_ask_for_every_token_but_the_first_once():
    for count in (1001, 1002, 1010, 1011):
        whole = prose(count)
        asked = torch.cat([batch.y.flatten() for batch in serve(whole, size=7, shuffle=False).epoch(0)])
        assert asked[asked != IGNORED].equal(torch.arange(1, count))
        read = torch.cat([batch.x for batch in serve(whole, size=7, shuffle=False).epoch(0)])
        known = whole.y != IGNORED
        assert (whole.y[known] == read[known] + 1).all()
        assert whole.pick(torch.tensor([0, whole.size - 1])).y.equal(whole.y[[0, -1]])
        assert whole.pick(torch.arange(whole.size)).x.equal(whole.x)


def test_training_windows_do_not_overlap_and_start_elsewhere_in_each_epoch():
    loader = serve(prose(), size=8, seed=1)
    assert isinstance(loader, Windows)
    starts = []
    for epoch in range(12):
        batches = list(loader.epoch(epoch))
        assert len(batches) == len(loader)
        assert all(batch.x.dtype == torch.int64 for batch in batches)
        x = torch.cat([batch.x for batch in batches])
        assert torch.cat([batch.y for batch in batches]).equal(x + 1)
        assert x.unique().numel() == x.numel() == 99 * 10  # none twice, and fewer than two windows missing
        starts.append(int(x.min()))
        assert not x[:, 0].equal(x[:, 0].sort().values)
    assert set(starts) <= set(range(10))
    assert len(set(starts)) > 4


def test_every_row_goes_on_where_it_ended():
    loader = serve(prose(order="carried"), size=8, seed=1)
    for epoch in range(3):
        batches = list(loader.epoch(epoch))
        assert len(batches) == len(loader) == 12
        for before, after in pairwise(batches):
            assert after.x[:, 0].equal(before.x[:, -1] + 1)
            assert after.x.shape == (8, 10)
    ordered = serve(prose(order="carried"), size=8, shuffle=False)
    assert next(ordered.epoch(0)).x.flatten().equal(torch.arange(80))


@pytest.mark.parametrize("order", ["shuffled", "carried"])
def test_an_epoch_goes_on_anywhere(order):
    loader, again = (serve(prose(order=order), size=8, seed=3) for _ in range(2))
    whole = list(loader.epoch(2))
    rest = list(again.epoch(2, start=5))
    assert len(rest) == len(whole) - 5
    assert all(a.x.equal(b.x) and a.y.equal(b.y) for a, b in zip(rest, whole[5:], strict=True))
    assert not next(iter(serve(prose(order=order), size=8, seed=3).epoch(3))).x.equal(whole[0].x)


def test_shares_of_a_text_are_windows_of_it():
    loader = serve(prose(), size=8, limit=0.25)
    assert loader.examples == 26
    assert all((batch.y == batch.x + 1).all() for batch in loader.epoch(0))
    drawn = resample(prose(), 0)
    assert isinstance(drawn, Tokens)
    assert drawn.size == 101
    with pytest.raises(ConfigError, match=r"limit=0.5: a text read on from batch to batch is read whole"):
        serve(prose(order="carried"), size=8, limit=0.5)
    assert serve(prose(order="carried"), size=8, limit=0.5, shuffle=False).examples == 51
    with pytest.raises(DataError, match="bootstrap=true"):
        resample(prose(order="carried"), 0)


def test_texts_that_are_too_short():
    with pytest.raises(DataError, match="a text of 95 tokens has no 9 windows of 10 to train on: a longer text"):
        serve(prose(95), size=9)
    with pytest.raises(DataError, match="a batch must fit into the split"):
        serve(prose(20), size=8)
    assert len(serve(prose(100), size=9)) == 1


def test_the_cut():
    text = "".join(map(str, range(1000)))
    train, valid, test = parts(text, 0.05, 0.05)
    assert train + valid + test == text
    assert len(valid) == len(test) == 145
    assert parts(text, 100, 0) == (text[:-100], text[-100:], text[-100:])
    for wrong in ((0, 0.1), (0.5, 0.5), (-1, 1), (2890, 0)):
        with pytest.raises(DataError, match="cannot hold out"):
            parts(text, *wrong)


def test_the_text_of_tiny_shakespeare_is_cut_as_published():
    held = parts("x" * 1_115_394, 0.1, 0)
    assert [len(part) for part in held] == [1_003_854, 111_540, 111_540]


def test_the_topics():
    splits = Topics().load(Path())
    check(splits, None)
    known = Vocabulary.read(splits.facts["vocabulary"])
    assert splits.facts["vocab"] == len(known) == 96
    assert set(known.tokens) == set(PRINTED)
    text = known.decode(torch.cat([part.tokens for part in splits[:3]]).tolist())
    assert len(text) > 300_000
    assert "is not" in text
    assert Topics().load(Path()).train.tokens.equal(splits.train.tokens)
    assert not Topics(split_seed=1).load(Path()).train.tokens[:1000].equal(splits.train.tokens[:1000])
    with pytest.raises(ConfigError, match=r"without=\['x'\]: these data do not name one class"):
        leave_out(splits, ["x"])
    with pytest.raises(ConfigError, match="order='backwards', context=64: shuffled or carried"):
        Topics(order="backwards").load(Path())


def test_no_paragraph_of_the_topics_stands_twice():
    found = [p.strip("\n") for text in topics().values() for p in text.split("\n\n") if len(p) > 80]
    assert len(found) == len(set(found))
    assert set(LONG) <= set(topics())
    assert all(text.isascii() for text in topics().values())


def test_words_of_a_text_are_learned_from_its_training_part(tmp_path):
    (tmp_path / "a.txt").write_text("one two three four five " * 30 + "six seven " * 10)
    splits = TextFiles(path="a.txt", level="words", context=4, valid=0.1, test=0.1).load(tmp_path)
    known = Vocabulary.read(splits.facts["vocabulary"])
    assert known.tokens[0] == "<unk>"
    assert "six" not in known.tokens
    assert splits.test.tokens.unique().tolist() == [0]
    letters = TextFiles(path=str(tmp_path / "a.txt"), context=4).load(Path("/nowhere"))
    assert "x" in Vocabulary.read(letters.facts["vocabulary"]).tokens
    assert letters.facts["context"] == 4
    again = TextFiles(path="a.txt", context=4, vocabulary=letters.facts["vocabulary"]).load(tmp_path)
    assert again.train.tokens.equal(letters.train.tokens)
    (tmp_path / "a.txt").write_text("123 456 " * 50)
    with pytest.raises(DataError, match="unknown characters: '1', '2'"):
        TextFiles(path="a.txt", context=4, vocabulary=letters.facts["vocabulary"]).load(tmp_path)
    with pytest.raises(DataError, match=r"no such file: .*data.source.path=FILE"):
        TextFiles(path="missing.txt").load(tmp_path)


def test_long_texts_are_numbered_piece_by_piece(monkeypatch):
    text = "some words\nand more words " * 40 + "x" * 300
    for level in ("characters", "words"):
        known = Vocabulary.learn([text, "y"], level=level, special=("<unk>",))
        for size in (7, 64, 10_000):
            monkeypatch.setattr("dlcli.data.wording.PIECE", size)
            if level == "characters" or size > 300:
                assert numbered(known, text).tolist() == known.encode(text)
    assert numbered(known, "").tolist() == []


def test_a_table_learns_what_follows():
    splits = Topics(context=32).load(Path())
    table = torch.zeros(96, 96, requires_grad=True)  # logits of what follows each character
    for batch in serve(replace(splits.train, tokens=splits.train.tokens[:60_000]), size=64).epoch(0):
        torch.nn.functional.cross_entropy(table[batch.x].flatten(0, 1), batch.y.flatten()).backward()
        with torch.no_grad():
            table -= 30 * table.grad
            table.grad = None
    batch = next(serve(splits.valid, size=300, shuffle=False).epoch(0))
    loss = torch.nn.functional.cross_entropy(table[batch.x].flatten(0, 1), batch.y.flatten(), ignore_index=IGNORED)
    assert loss < 3.3  # 4.56 is chance
