"""Vocabularies: what a token is, that texts come back, how pieces grow, and states that strangers wrote."""

import importlib.util
import json
import subprocess
import sys
from collections import Counter

import pytest

from dlcli.errors import ConfigError, DataError, RunError
from dlcli.tokens import LEVELS, STATE, Vocabulary, words
from dlcli.tokens.growing import cut, pieces

BASIC = ("<pad>", "<unk>")
library = pytest.mark.skipif(not importlib.util.find_spec("tokenizers"), reason="needs tokenizers (the extra `text`)")


def test_characters_have_the_order_of_their_codes_and_nothing_is_added():
    known = Vocabulary.learn(["hello world", "Tür"], level="characters")
    assert known.tokens == [" ", "T", "d", "e", "h", "l", "o", "r", "w", "ü"]
    assert known.encode("hold") == [4, 6, 5, 2]
    assert known.decode([4, 6, 5, 2]) == "hold"
    assert (known.pad, known.unknown, known.begin) == (None, None, None)
    assert [known.spelled(n) for n in (4, 9)] == [b"h", "ü".encode()]


def test_special_tokens_stand_first_and_are_not_decoded():
    known = Vocabulary.learn(["abc"], level="characters", special=("<eos>", "<bos>", "<pad>", "<unk>"))
    assert known.tokens[:4] == ["<pad>", "<unk>", "<bos>", "<eos>"]
    assert (known.pad, known.unknown, known.begin, known.end) == (0, 1, 2, 3)
    assert (known.cls, known.sep, known.mask) == (None, None, None)
    assert known.encode("a<pad>z") == [4, 1, 1, 4, 1, 1, 1]  # a text cannot write a special token
    assert known.decode([2, 4, 5, 3, 0]) == "ab"
    assert known.spelled(2) == b""


def test_unknown_characters_are_named():
    known = Vocabulary.learn(["abc"], level="characters")
    with pytest.raises(DataError, match=r"unknown characters: '\\x1b', 'x', 'y'; the text .* leave them out"):
        known.encode("xyx\x1b")
    with pytest.raises(DataError, match=r"'1', '2', '3', '4', '5' and 2 more"):
        known.encode("1234567")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It wo n't, won't it?", ["It", "wo", "n't", ",", "wo", "n't", "it", "?"]),
        ("The man's T-shirt", ["The", "man", "'s", "T", "-", "shirt"]),
        ("1,000.50 in 1930s!", ["1,000.50", "in", "1930", "s", "!"]),
        ("Über __init__ 'quoted'", ["Über", "__init__", "'", "quoted", "'"]),
        ("<pad> [SEP]", ["<", "pad", ">", "[", "SEP", "]"]),
        ("  \n\t ", []),
    ],
)
def test_words(text, expected):
    assert words(text) == expected


def test_words_are_ordered_by_how_often_they_occur_then_by_the_alphabet():
    known = Vocabulary.learn(["b a b c", "a d B"], level="words", special=BASIC, lower=True)
    assert known.tokens == ["<pad>", "<unk>", "b", "a", "c", "d"]
    assert Vocabulary.learn(["b a b c a d"], level="words", special=BASIC, least=2).tokens[2:] == ["a", "b"]
    assert Vocabulary.learn(["b a b c a d"], level="words", special=BASIC, size=3).tokens[2:] == ["a"]
    assert known.encode("A cat d") == [3, 1, 5]
    assert "x" * 100 not in Vocabulary.learn(["x" * 100 + " y"], level="words", special=BASIC).tokens


def test_words_are_set_as_people_write_them():
    text = "I don't know (yet), if the man's T-shirt costs 1,000.50: do you?"
    known = Vocabulary.learn([text], level="words")
    assert known.decode(known.encode(text)) == text
    assert known.spelled(known.table["man"]) == b" man"


def test_pieces_grow_from_the_most_frequent_pair_by_hand():
    counts = Counter({"low": 5, "lower": 2, "newest": 6, "widest": 3})
    grown = pieces(counts, 100, 1)
    letters = sorted({word[0] for word in counts} | {f"##{c}" for word in counts for c in word[1:]})
    assert grown[: len(letters)] == letters
    # 9 times ##e ##s and ##s ##t: the alphabet decides; then 9 times ##es ##t, 7 times ##o ##w and l ##o
    assert grown[len(letters) : len(letters) + 4] == ["##es", "##est", "##ow", "low"]
    assert pieces(counts, 5, 1) == sorted(["##e", "##s", "##t", "##w", "##o"])[:5]
    assert "lower" in grown
    assert "lower" not in pieces(counts, 100, 3)


def test_words_are_cut_into_the_longest_pieces():
    table = {token: n for n, token in enumerate(["<unk>", "un", "##aff", "##able", "##a", "u", "##n"])}
    assert cut("unaffable", table) == ["un", "##aff", "##able"]
    assert cut("una", table) == ["un", "##a"]
    assert cut("unx", table) == ["<unk>"]
    assert cut("u" * 1000, table) == ["<unk>"]


def test_word_pieces_write_words_that_were_never_seen():
    texts = ["the lower the newer, the slower the lowest"]
    known = Vocabulary.learn(texts, level="wordpieces", special=BASIC, size=60)
    assert known.decode(known.encode("the slowest newest")) == "the slowest newest"
    assert known.encode("the") == [known.table["the"]]
    assert known.encode("ß") == [known.unknown]
    assert known.spelled(known.table["##e"]) == b"e"
    with pytest.raises(ConfigError, match="wordpieces needs <unk>"):
        Vocabulary.learn(texts, level="wordpieces")


def test_word_pieces_do_not_depend_on_the_hash_of_this_process():
    code = (
        "from dlcli.tokens import Vocabulary; from pydoc_data.topics import topics; texts = [topics['while']];"
        "print(Vocabulary.learn(texts, level='wordpieces', size=200, special=['<unk>']).state())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1


@library
def test_pieces_are_cut_as_the_library_cuts_them():
    import tokenizers

    known = Vocabulary.learn(
        ["lower newer slower lowest newest wide wider"], level="wordpieces", special=BASIC, size=50
    )
    twin = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocab=known.table, unk_token="<unk>"))
    twin.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    for text in ("slow wide news", "lowest of all", "wer"):
        assert twin.encode(text).ids == known.encode(text)


@library
def test_subwords_write_every_text():
    texts = ["the lower the newer, the slower the lowest\n" * 3]
    known = Vocabulary.learn(texts, level="subwords", size=270, special=("<eos>",))
    assert len(known) == 270
    assert known.unknown is None
    for text in ("the slowest", "Füße, 漢字 \u2014 <eos>\n\n  x", "\x00\t"):
        numbers = known.encode(text)
        assert known.decode([*numbers, known.end]) == text
        assert b"".join(known.spelled(n) for n in numbers) == text.encode()
    assert len(known.encode("the lower")) < 9
    assert known.state() == Vocabulary.learn(texts, level="subwords", size=270, special=("<eos>",)).state()
    again = Vocabulary.read(known.state())
    assert again.encode("slower und höher") == known.encode("slower und höher")


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ConfigError, match=r"level=subwords needs tokenizers.*pip install 'dlcli\[text\]'"):
        Vocabulary.learn(["a b"], level="subwords")
    tokens = ["a", "b", "ab"]
    with pytest.raises(ConfigError, match="tokenizers"):
        Vocabulary(tokens, "subwords", ["a b"]).encode("ab")


@pytest.mark.parametrize("level", ["characters", "words", "wordpieces"])
def test_a_state_is_one_line_that_no_config_expands(level):
    from omegaconf import OmegaConf

    known = Vocabulary.learn(["costs $5 ${oc.env:HOME}\n\t\"quoted\" \\ 'ü'"], level=level, special=BASIC)
    state = known.state()
    assert "\n" not in state
    assert "$" not in state
    config = OmegaConf.create({"data": {"vocabulary": None}, "model": {"vocabulary": "${data.vocabulary}"}})
    config.data.update({"vocabulary": state})
    assert OmegaConf.to_container(config, resolve=True)["model"]["vocabulary"] == state
    again = Vocabulary.read(json.loads(json.dumps({"x": state}))["x"])
    assert again.tokens == known.tokens
    assert again.state() == state


def state(**changes):
    content = {"level": "characters", "lower": False, "tokens": ["<pad>", "a"], "merges": []}
    return json.dumps(content | changes)


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("", "Expecting value"),
        ("[]", "not an object"),
        ("{}", "not level, lower, tokens and merges"),
        ("[" * 10_000, "."),
        ("\ud800", "surrogates"),
        (state(extra=1), "not level"),
        (state(lower="yes"), "not level"),
        (state(level="bytes"), "choose from characters"),
        (state(level=["characters"]), "choose from"),
        (state(tokens="abc"), "lists of texts"),
        (state(tokens=[]), "tokens must be there"),
        (state(tokens=["a", "a"]), "each once"),
        (state(tokens=["a", 1]), "lists of texts"),
        (state(tokens=["a", ""]), "lists of texts"),
        (state(tokens=["a", "<pad>"]), "<pad> in the first place"),
        (state(tokens=["a", "bc"]), "more than one character"),
        (state(tokens=["a" * 65], level="words"), "64 characters at most"),
        (state(tokens=["\ud800"]), "surrogates"),
        (state(tokens=["ü", "漢"], level="subwords"), "not made of bytes"),
        (state(tokens=["a", "b"], level="subwords", merges=["a b"]), "whole is a token"),
        (state(tokens=["a", "b", "ab"], level="subwords", merges=["a b c"]), "pairs of tokens"),
        (state(level="wordpieces"), "without <unk>"),
        (state(tokens=[f"{n:06}" for n in range(100_000)], level="words"), "more than 524,288 bytes"),
    ],
)
def test_states_of_strangers(written, reason):
    with pytest.raises(RunError, match=reason):
        Vocabulary.read(written)
    with pytest.raises(RunError, match="the run cannot be used"):
        Vocabulary.read(written)


def test_values_that_cannot_be():
    with pytest.raises(ConfigError, match=f"level=bytes: choose from {', '.join(LEVELS)}"):
        Vocabulary.learn(["a"], level="bytes")
    with pytest.raises(ConfigError, match="size=2, least=1: more than 2 tokens"):
        Vocabulary.learn(["a"], level="words", special=BASIC, size=2)
    with pytest.raises(ConfigError, match="least=0"):
        Vocabulary.learn(["a"], level="words", least=0)
    many = " ".join(f"{'x' * (n % 50)}{n:b}".translate({48: "a", 49: "b"}) for n in range(20_000))
    with pytest.raises(
        ConfigError, match=f"tokens take more than {STATE:,} bytes in the record of a run: set data.sou"
    ):
        Vocabulary.learn([many], level="words")
