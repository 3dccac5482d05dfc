"""Sheets, maps of pictures and figures by layer draw what they are given, where they should."""

import pytest
import torch
from matplotlib.colors import to_rgb

from dlcli import figures
from dlcli.figures.maps import apart
from dlcli.figures.panels import FAINTEST, GAP, Row, _picture


def test_a_sheet_puts_rows_below_each_other_and_pictures_side_by_side():
    pictures, heat = torch.rand(3, 1, 4, 4), torch.rand(2, 4, 8)
    (axes,) = figures.sheet("title", [Row(pictures, label="a"), Row(heat=heat, label="b", captions=["x", "y\nz"])]).axes
    places = [image.get_extent() for image in axes.images]
    assert len(places) == 5
    assert places[1] == pytest.approx([1 + GAP, 2 + GAP, 1, 0])
    left, right, bottom, top = places[3]
    assert (left, right) == (0, 1)
    assert bottom - top == pytest.approx(0.5)
    assert top > 1 + GAP  # room for the captions
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    assert [text.get_text() for text in axes.texts] == ["x", "y\nz"]


def test_colours_over_a_picture_leave_it_grey_where_nothing_is_to_be_said():
    picture = torch.tensor([[[[0.0, 1.0, 1.0]]]])
    shown = _picture(Row(picture, torch.tensor([[[0.0, 0.0, 1.0]]])), 0)
    assert shown[0, 0] == pytest.approx([FAINTEST] * 3, abs=0.01)
    assert shown[0, 1] == pytest.approx([1, 1, 1], abs=0.01)
    assert shown[0, 2] == pytest.approx(to_rgb("red"), abs=0.01)
    signed = _picture(Row(picture, torch.tensor([[[0.0, -1.0, 1.0]]]), signed=True), 0)
    assert signed[0, 1] == pytest.approx(to_rgb("blue"), abs=0.01)


def test_tiles_stand_in_reading_order_ten_in_a_row_under_a_colour_bar_if_asked():
    axes, bar = figures.tiles("title", torch.rand(23, 5, 5), [str(i) for i in range(23)], "largest = 1", True).axes
    assert len(axes.images) == 23
    assert len({image.get_extent()[3] for image in axes.images}) == 3
    assert [text.get_text() for text in axes.texts] == [str(i) for i in range(23)]
    assert bar.get_ylim() == (-1, 1)


def test_pictures_on_a_map_do_not_hide_each_other():
    points = torch.tensor([[0.0, 0.0], [0.05, 0.05], [0.2, 0.0], [0.0, 0.15]])
    assert apart(points, torch.tensor([0.1, 0.2])).tolist() == [0, 2]
    images, kinds = torch.rand(50, 3, 6, 6), torch.arange(50) % 2
    (axes,) = figures.thumbnails(torch.randn(50, 2), images, kinds, ["$a", "b"], "map").axes
    assert len(axes.images) == len(axes.patches) > 1
    assert axes.get_title().endswith(f"{len(axes.images)} of 50 examples")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [r"\$a", "b"]


def test_layers_stand_from_top_to_bottom_and_zero_has_no_point():
    (axes,) = figures.magnitudes("title", "norm", {"first": 1e-3, "second": 0.0, "third": 0.2}).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["first", "second", "third"]
    assert axes.lines[0].get_xydata().tolist() == [[1e-3, 0], [0.2, 2]]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    figures.magnitudes("title", "norm", {"only": 0.0}).canvas.draw()
    (axes,) = figures.bars("title", "share", {"dead": {"a": 0.25, "b": 0.0}, "zeros": {"a": 0.5, "b": 1.0}}).axes
    assert [bar.get_width() for bar in axes.patches] == [0.25, 0.0, 0.5, 1.0]


def test_histograms_bear_the_deviation_of_each_layer_and_do_not_mind_zeros():
    numbers = torch.randn(1000)
    (axes,) = figures.histograms(
        "title", "weight", {"a": numbers, "zeros": torch.zeros(5, 5), "one": torch.ones(1)}
    ).axes
    assert axes.texts[0].get_text() == f"±{numbers.std(correction=0):.2g}"
    assert axes.texts[1].get_text() == "±0"
    many = {f"layer {i}": torch.randn(20) for i in range(70)}
    assert len(figures.histograms("title", "weight", many).axes[0].get_yticks()) <= 30
