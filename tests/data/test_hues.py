"""Names of colours and their hues, which come with matplotlib."""

from pathlib import Path

import pytest

from dlcli.data.hues import CRUDE, HUES, Hues, hue
from dlcli.tokens import Vocabulary


@pytest.mark.parametrize(
    ("colour", "name"),
    [
        ((1, 0, 0), "red"),
        ((1, 0, 0.1), "red"),
        ((1, 0.5, 0), "orange"),
        ((0.5, 0.25, 0), "brown"),
        ((1, 1, 0), "yellow"),
        ((0, 1, 0), "green"),
        ((0, 1, 1), "teal"),
        ((0, 0, 1), "blue"),
        ((0.5, 0, 1), "purple"),
        ((1, 0, 0.7), "pink"),
        ((0.5, 0.5, 0.5), "grey"),
        ((0.1, 0, 0), "grey"),
    ],
)
def test_hues_of_pure_colours(colour, name):
    assert hue(*colour) == name


def test_every_hue_has_names_that_can_be_read():
    splits = Hues().load(Path("nowhere"))
    vocabulary = Vocabulary.read(splits.facts["vocabulary"])
    texts = {
        vocabulary.decode(row): HUES[c] for row, c in zip(splits.train.x.tolist(), splits.train.y.tolist(), strict=True)
    }
    assert len(texts) == splits.train.size > 700
    assert set(texts.values()) == set(HUES)
    plain = [name for name, found in texts.items() if name.split()[-1] in HUES and name.split()[-1] == found]
    assert len(plain) > 0.7 * sum(name.split()[-1] in HUES for name in texts)
    assert not any(word in name for name in texts for word in CRUDE)
