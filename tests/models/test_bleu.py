"""BLEU by hand, and as SacreBLEU counts it where that is installed."""

import math
import random

import pytest

from dlcli.models.bleu import bleu, runs, sacre


def words(text: str) -> list[str]:
    return text.split()


def test_a_worked_example():
    guess, truth = words("the cat sat on a mat"), words("the cat sat on the mat today")
    # runs of the translation that the reference has: 5 of 6 words, 3 of 5 pairs, 2 of 4 triples, 1 of 3 fours
    expected = 100 * math.exp(1 - 7 / 6) * (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25
    assert bleu([guess], [truth]) == pytest.approx(expected)


def test_a_word_counts_as_often_as_the_reference_has_it():
    assert runs(words("the the the the"), 1) & runs(words("the cat"), 1) == {("the",): 1}


def test_the_ends_of_the_scale():
    text = words("a man is sleeping")
    assert bleu([text], [text]) == pytest.approx(100)
    assert bleu([text, text], [text, words("a man is awake")]) < 100
    assert bleu([[]], [text]) == bleu([["three", "words", "only"]], [["three", "words", "only"]]) == 0


def test_sentences_are_pooled_not_averaged():
    one, two = (words("a b c d e"), words("a b c d e")), (words("a b x y z"), words("a b c d e"))
    mean = (bleu([one[0]], [one[1]]) + bleu([two[0]], [two[1]])) / 2
    assert mean == 50
    assert 50 < bleu([one[0], two[0]], [one[1], two[1]]) < 100


def test_it_equals_sacrebleu_on_words_cut_alike():
    metrics = pytest.importorskip("sacrebleu.metrics")
    draw = random.Random(0)
    pairs = []
    for _ in range(50):
        truth = draw.choices("abcdefg", k=draw.randrange(3, 15))
        pairs.append((truth, [word if draw.random() < 0.8 else "z" for word in truth[: draw.randrange(2, 15)]]))
    truths, guesses = zip(*pairs, strict=True)
    theirs = metrics.BLEU(tokenize="none", smooth_method="none", force=True).corpus_score(
        [" ".join(words) for words in guesses], [[" ".join(words) for words in truths]]
    )
    assert bleu(guesses, truths) == pytest.approx(theirs.score)


def test_the_library_signs_what_it_did_and_is_not_needed(monkeypatch):
    pairs = [("A man is sleeping on a couch.", "a man is sleeping on a couch.")]
    found = sacre(pairs, lower=True)
    assert [found.get(name, 100) for name in ("sacrebleu", "chrf")] == pytest.approx([100, 100])
    assert "case:lc" in found.get("sacrebleu_signature", "case:lc")
    monkeypatch.setitem(__import__("sys").modules, "sacrebleu.metrics", None)
    assert sacre(pairs, lower=True) == {"note": "SacreBLEU and chrF need sacrebleu: pip install 'dlcli[text]'"}
