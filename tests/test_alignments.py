"""Matrices of attention: every token where it belongs, and awkward tokens drawn literally."""

import io

import torch

from dlcli import figures
from dlcli.figures import Alignment


def drawn(figure):
    """Draw a figure, as warnings are errors, and return its axes."""
    figure.savefig(io.BytesIO(), format="png")
    return figure.axes


def test_rows_are_targets_and_columns_sources():
    weights = torch.tensor([[[0.9, 0.1, 0.0], [0.0, 0.2, 0.8]]])
    (axes,) = drawn(figures.alignments("attention", [Alignment(weights, ["ein", "Hund", "da"], ["a", "dog"])]))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["ein", "Hund", "da"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "dog"]
    assert axes.images[0].get_array().shape == (2, 3)
    assert axes.images[0].get_clim() == (0, 1)


def test_words_stand_upright_beside_the_columns_and_characters_do_not():
    words = Alignment(torch.ones(1, 1, 2) / 2, ["ein", "Hund"], ["dog"])
    letters = Alignment(torch.ones(1, 1, 2) / 2, ["1", "2"], ["3"])
    first, second = drawn(figures.alignments("attention", [words, letters]))
    assert {label.get_rotation() for label in first.get_xticklabels()} == {90}
    assert {label.get_rotation() for label in second.get_xticklabels()} == {0}


def test_awkward_tokens_and_many_matrices():
    one = Alignment(torch.ones(1, 1, 1), ["$x\x1b^"], ["an exceedingly long token"])
    many = Alignment(torch.ones(1, 30, 40) / 40, ["a"] * 40, ["b"] * 30)
    axes = drawn(figures.alignments("attention", [one, many, one]))
    assert len(axes) == 3
    assert axes[0].get_xticklabels()[0].get_text() == r"\$x\x1b^"
    assert axes[2].get_yticklabels()[0].get_text() == "an exceedingly …"


def places(axes):
    """Return the row and the column where a matrix stands."""
    spec = axes.get_subplotspec()
    return spec.rowspan.start, spec.colspan.start


def test_every_head_has_a_matrix_and_every_text_a_row_of_its_own():
    weights = torch.rand(6, 1, 2).softmax(-1)
    one = Alignment(weights, ["ein", "Hund"], ["dog"])
    axes = drawn(figures.alignments("attention", [one, Alignment(torch.ones(6, 1, 1), ["a"], ["b"])]))
    assert [drawing.get_xlabel() for drawing in axes] == [f"head {head}" for head in range(1, 7)] * 2
    assert [places(drawing) for drawing in axes] == [
        (first + row, column) for first in (0, 2) for row, column in [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1)]
    ]
    for head, drawing in zip(weights, axes, strict=False):
        assert torch.equal(torch.tensor(drawing.images[0].get_array()), head)
    (alone,) = drawn(figures.alignments("attention", [one._replace(weights=weights[:1])]))
    assert alone.get_xlabel() == ""
