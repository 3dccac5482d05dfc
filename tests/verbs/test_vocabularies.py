"""The tokens of a run stay its own: what is evaluated or taken over has the same numbers for the same words."""

import json
from contextlib import nullcontext

import pytest
from omegaconf import OmegaConf

from dlcli.batch import Tokens
from dlcli.data.labelled import Lines
from dlcli.errors import ConfigError, DataError, RunError
from dlcli.run import Run
from dlcli.tokens import Vocabulary
from dlcli.verbs.borrowed import agreed
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


TOKENS = Vocabulary.learn(["a b c c"], level="words", special=("<pad>", "<unk>"), lower=True).state()  # five


@pytest.fixture
def asked(tmp_path):
    """Return a function that says how a source that takes the tokens of a run agrees with them."""

    def agree(words=(), learned=None, **source):
        (tmp_path / "run").mkdir(exist_ok=True)
        own = {"level": "words", "size": None, "least": 1, "lower": True, "vocabulary": None} | (learned or {})
        config = {"data": {"vocabulary": TOKENS, "source_vocabulary": TOKENS, "source": own}}
        (tmp_path / "run" / "run.json").write_text(json.dumps({"config": config}))
        values = {"level": "words", "size": None, "least": 1, "lower": True, "vocabulary": "run"} | source
        given = OmegaConf.create({"data": {"source": values}, "paths": {"data": str(tmp_path)}})
        return agreed(given, [f"data.source.{word}" for word in words])

    return agree


def test_tokens_that_are_taken_as_the_config_has_them_are_not_told(asked):
    assert asked() == []
    assert asked(["level=words", "size=5", "lower=true", "least=1"], size=5) == []
    assert asked(["size=9"], size=9) == []  # five are nine at most
    assert asked(["size=9"], {"size": 9}, size=9) == []
    assert asked(["level=characters"], vocabulary=None, level="characters") == []
    assert asked(["level=characters"], vocabulary=TOKENS, level="characters") == []  # a run goes on
    assert asked(["least=2"], {"vocabulary": "elsewhere"}, least=2) == []  # nobody knows


@pytest.mark.parametrize(
    ("word", "its", "learned"),
    [
        ("level=characters", "level=words", None),
        ("lower=false", "lower=true", None),
        ("size=4", "size=5", None),
        ("size=9", "size=8", {"size": 8}),
        ("least=2", "least=1", None),
    ],
)
def test_a_given_value_that_contradicts_the_tokens_of_the_run_is_refused(asked, word, its, learned):
    key, value = word.split("=")
    source = {key: {"false": False}.get(value, int(value) if value.isdigit() else value)}
    cure = r"leave it out, or data\.source\.vocabulary$"
    said = rf"^data\.source\.{word}: data\.source\.vocabulary=run has {its}, and is taken as it is; {cure}"
    for written in (word, "context=3"):
        with pytest.raises(ConfigError, match=said) if written == word else nullcontext():
            notes = asked([written], learned, **source)
    assert notes == [f"note: data.source.vocabulary=run has {its}, not {word}, and is taken as it is"]


def test_several_values_are_refused_in_one_line(asked):
    with pytest.raises(
        ConfigError, match=r"level=words, lower=true, and is taken as it is; leave them out, or"
    ) as told:
        asked(["level=characters", "lower=false"], level="characters", lower=False)
    assert "\n" not in str(told.value)


def test_of_pairs_the_values_may_be_meant_for_the_side_that_is_learned(asked):
    word, sides = ["level=characters"], {"level": "characters", "joint": False, "source_vocabulary": None}
    (note,) = asked(word, **sides)
    assert "data.source.vocabulary=run has level=words, not level=characters" in note
    (note,) = asked(word, **sides | {"vocabulary": None, "source_vocabulary": "run"})
    assert "data.source.source_vocabulary=run has" in note
    for more in ({"joint": True}, {"source_vocabulary": "run"}):
        with pytest.raises(ConfigError, match=r"data\.source\.level=characters: "):
            asked(word, **sides | more)


def test_one_vocabulary_for_both_sides_takes_none_for_one_of_them(asked, dl, tmp_path):
    asked(joint=True, source_vocabulary=None)
    for more in ({"vocabulary": None}, {}):
        with pytest.raises(ConfigError, match=r"^data\.source\.source_vocabulary=run: data\.source\.joint=true gives"):
            asked(joint=True, source_vocabulary="run", **more)
    (tmp_path / "a.txt").write_text("".join(f"word{n % 7}\ta word{n % 5}\n" for n in range(40)))
    words = (
        "train",
        "model=seq2seq",
        "data=parallel",
        "data.source.path=a.txt",
        "data.source.joint=true",
        "max_steps=1",
    )
    assert dl(*words)[0] == 0
    run = next(iter(tmp_path.glob("outputs/*/*/run.json"))).parent
    code, _, err = dl(*words, f"data.source.source_vocabulary={run}")
    assert (code, err.count("\n"), "leave one of the two out" in err) == (2, 1, True)
    assert dl("eval", str(run))[0] == 0  # a run holds the vocabulary of both sides
    assert dl(*words, f"data.source.vocabulary={run}")[0] == 0


def test_the_rate_is_sought_with_the_tokens_that_a_training_would_have(dl, undrawn, tmp_path):
    table(tmp_path, "word")
    words = ("train", "model=text_sum", "data=lines", "data.source.path=a.csv", "max_steps=2", "batch=8")
    assert dl(*words, "data.source.level=characters", "data.source.lower=false", "name=letters")[0] == 0
    seek = (*words[:-2], "max_steps=40", "batch=8", "find_lr=true")
    code, out, err = dl(*seek, "data.source.vocabulary=letters")
    assert code == 0, err
    assert "has level=characters, lower=false, not level=words, lower=true" in out
    code, _, err = dl(*seek, "data.source.vocabulary=letters", "++data.source.level=words")
    assert (code, "data.source.level=words: data.source.vocabulary=" in err) == (2, True)
    code, _, err = dl("train", "resume", "find_lr=true")
    assert (code, err) == (2, "dl: resume=last: find_lr=true tests a new model, not a run; leave one of the two out\n")


def test_other_tokens_than_asked_for_are_told_before_the_run_is_made(dl, undrawn, tmp_path):
    table(tmp_path, "word")
    words = ("train", "model=text_sum", "data=lines", "data.source.path=a.csv", "max_steps=2", "batch=8")
    assert dl(*words, "data.source.level=characters", "data.source.lower=false")[0] == 0
    run = next(iter(tmp_path.glob("outputs/*/*/run.json"))).parent
    code, out, err = dl(*words, f"data.source.vocabulary={run}")
    assert code == 0, err
    assert f"note: data.source.vocabulary={run} has level=characters, lower=false, not level=words, lower=true" in out
    code, _, err = dl(*words, f"data.source.vocabulary={run}", "++data.source.level=words")
    assert code == 2
    assert f"data.source.level=words: data.source.vocabulary={run} has level=characters" in err
    assert "Traceback" not in err
    assert len(list(tmp_path.glob("outputs/*/*/run.json"))) == 2


def test_a_run_is_named_as_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Run.create(tmp_path / "outputs", "glove-sst2", {"config": {"data": {"vocabulary": TOKENS}}}).path
    for name in ("glove-sst2", "last"):
        (folder / "checkpoints").mkdir(exist_ok=True)
        (folder / "checkpoints/manifest.jsonl").touch()
        values = OmegaConf.create(
            {"data": {"source": {"vocabulary": name}}, "paths": {"data": str(tmp_path), "outputs": "outputs"}}
        )
        assert agreed(values, []) == []
        assert values.data.source.vocabulary == str(folder.relative_to(tmp_path))
    values.data.source.vocabulary = "glove-sst3"
    with pytest.raises(RunError, match="did you mean glove-sst2"):
        agreed(values, [])
