"""The tokens of a run stay its own: what is evaluated or taken over has the same numbers for the same words."""

import json

import pytest

from dlcli.batch import Tokens
from dlcli.data.labelled import Lines
from dlcli.errors import ConfigError, DataError
from dlcli.run import Run
from dlcli.tokens import Vocabulary
from dlcli.verbs.common import load_data, split_of
from dlcli.verbs.prepare import same_words


def learned(text):
    return Vocabulary.learn([text], level="words", special=("<pad>", "<unk>")).state()


def table(folder, word):
    rows = [f"{word}{n % 3} a,{n % 2}" for n in range(40)]
    (folder / "a.csv").write_text("text,label\n" + "\n".join(rows) + "\n")


def source(**more):
    return {"_target_": "dlcli.data.labelled.Lines", "path": "a.csv", "vocabulary": None, **more}


def test_a_run_reads_its_texts_by_the_words_that_it_learned(tmp_path):
    table(tmp_path, "word")
    state = learned("a word")
    fresh = load_data({"source": source(), "vocabulary": None}, str(tmp_path))
    known = load_data({"source": source(), "vocabulary": state}, str(tmp_path))
    assert fresh.facts["vocabulary"] != known.facts["vocabulary"] == state
    assert isinstance(known.train, Tokens)
    assert known.facts["vocab"] == 4


def test_another_vocabulary_is_told_in_short(tmp_path):
    table(tmp_path, "word")
    splits = Lines(path="a.csv").load(tmp_path)
    record = {"config": {"data": {"vocabulary": learned("other words")}}}
    with pytest.raises(
        DataError, match=r"^the data has another vocabulary than the run was trained with; use the same data$"
    ):
        split_of(splits, "test", record)
    record = {"config": {"data": {"vocabulary": splits.facts["vocabulary"]}}}
    assert split_of(splits, "test", record) is splits.test


def test_weights_of_other_words_are_not_taken_over(tmp_path):
    (tmp_path / "run").mkdir()
    config = {"model": {}, "data": {"vocabulary": learned("a b")}}
    (tmp_path / "run" / "run.json").write_text(json.dumps({"config": config}))
    values = {"init_from": "run", "init_only": [], "data": {"vocabulary": learned("a c")}}
    with pytest.raises(
        ConfigError, match=r"init_from=run: it learned another vocabulary; data\.source\.vocabulary=run takes"
    ):
        same_words(Run(tmp_path / "run"), values)
    same_words(Run(tmp_path / "run"), values | {"init_only": ["net.layers"]})
    same_words(Run(tmp_path / "run"), values | {"data": {"vocabulary": learned("b a")}})
    same_words(Run(tmp_path / "run"), values | {"data": {}})


def test_from_the_command_line(dl, undrawn, tmp_path):
    table(tmp_path, "word")
    words = ("train", "model=text_sum", "data=lines", "data.source.path=a.csv", "max_steps=2", "batch=8")
    assert dl(*words)[0] == 0
    run = next(iter(tmp_path.glob("outputs/*/*/run.json"))).parent
    changed = "text,label\n" + "\n".join(f"new {n},{n % 2}" for n in range(40)) + "\n"
    (tmp_path / "a.csv").write_text(changed)
    code, _, err = dl("eval", str(run))
    assert code == 3
    assert "use the same data" in err
    code, _, err = dl(*words, f"init_from={run}")
    assert code == 2
    assert "it learned another vocabulary" in err
    code, _, err = dl(*words, f"init_from={run}", f"data.source.vocabulary={run}")
    assert code == 0, err
    again = max(tmp_path.glob("outputs/*/*/run.json"), key=lambda path: path.parent.name).parent
    run.rename(tmp_path / "gone")
    assert dl("eval", str(again))[0] == 0  # its record holds the words
    (tmp_path / "bad.csv").write_bytes(b"text,label\na\xe4,b\n")
    code, _, err = dl(*words, "data.source.path=bad.csv")
    assert code == 3
    assert "bad.csv, line 2, byte 12: 0xe4 is not UTF-8; iconv -f ISO-8859-1 -t UTF-8" in err
    assert "Traceback" not in err
