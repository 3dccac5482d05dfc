"""Word vectors from a file: what is found, what is refused, and that the embedding starts from them."""

import pytest
import torch
from safetensors.torch import load_file

from dlcli.errors import ConfigError, DataError
from dlcli.nets.text import SummedText
from dlcli.tokens import Vocabulary
from dlcli.verbs import vectors

WORDS = Vocabulary(["<pad>", "<unk>", "good", "Bad", "film"], "words")


def values(path, state=None, **more):
    """Return the part of a config that is read."""
    return {"vectors": str(path), "resume": None, "data": {"name": "own", "vocabulary": state or WORDS.state()}, **more}


def test_the_embedding_starts_from_the_words_that_are_found(tmp_path, capsys):
    path = tmp_path / "glove.txt"
    path.write_text("good 1 2 3\nbad 4 5 6\n. . . 7 8 9\n<unk> 1 1 1\ngood 0 0 0\n", encoding="utf-8")
    net = SummedText(vocab=5, classes=2, width=3)
    before = net.embedding.weight.detach().clone()
    vectors.start(net, values(path))
    assert net.embedding.weight[2:4].tolist() == [[1, 2, 3], [4, 5, 6]]  # Bad is found as bad
    assert net.embedding.weight[[0, 1, 4]].equal(before[[0, 1, 4]])
    assert "vectors for 2 of 5 tokens" in capsys.readouterr().out


def test_the_counts_that_word2vec_puts_in_front_are_no_word(tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text("2 3\ngood 1 2 3 \nfilm 4 5 6 \n")
    assert {word: v.tolist() for word, v in vectors.read(path, {"good", "film", "2"}).items()} == {
        "good": [1, 2, 3],
        "film": [4, 5, 6],
    }


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "empty"),
        (b"good 1 2 3\nbad 1 2\n", "line 2: 2 numbers after the word, the lines before have 3"),
        (b"good 1 2 3\nbad 1 2 3 4\n", "line 2: 4 numbers after the word, the lines before have 3"),
        (b"good 1 two 3\n", "line 1: 'two' is no finite number"),
        (b"good 1 nan 3\n", "line 1: 'nan' is no finite number"),
        (b"good 1 2 3\nb\xff 1 2 3\n", "line 2: not UTF-8"),
        (b"good " + b"1 " * 2**17, "line 1: longer than 131,072 bytes"),
    ],
)
def test_a_damaged_file_is_named_with_its_line(tmp_path, content, fault):
    path = tmp_path / "vectors.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=fault):
        vectors.read(path, {"good", "bad"})


def test_an_absent_file_another_width_and_data_without_words_are_refused(tmp_path):
    net = SummedText(vocab=5, classes=2, width=4)
    with pytest.raises(DataError, match=r"cannot be read .*vectors=FILE"):
        vectors.start(net, values(tmp_path / "none"))
    path = tmp_path / "vectors.txt"
    path.write_text("good 1 2 3\n")
    with pytest.raises(
        ConfigError, match="has vectors of 3 numbers, the embedding of this net has 4: set its width to 3"
    ):
        vectors.start(net, values(path))
    with pytest.raises(ConfigError, match="data=own has no words"):
        vectors.start(net, values(path, Vocabulary(["a"], "characters").state()))
    with pytest.raises(ConfigError, match="no embedding of 5 words"):
        vectors.start(torch.nn.Linear(2, 2), values(path))
    vectors.start(net, values(path, resume="last"))  # a run that goes on has its own


def test_a_training_starts_from_vectors_and_can_keep_them(dl, undrawn, tmp_path):
    path = tmp_path / "own.txt"
    path.write_text("string 1 2 3 4\nclass 5 6 7 8\n")
    words = ("train", "model=text_sum", "model.net.width=4", "epochs=1", f"vectors={path}", "freeze=[net.embedding.*]")
    code, out, err = dl(*words)
    assert code == 0, err
    assert "vectors for 2 of 1,000 tokens" in out
    run = next((tmp_path / "outputs").glob("*/*/checkpoints")).parent
    rows = load_file(run / "checkpoints/best.safetensors")["net.embedding.weight"].tolist()
    assert [5, 6, 7, 8] in rows
    assert [1, 2, 3, 4] in rows
    assert dl("train", f"resume={run}", "epochs=2")[0] == 0
