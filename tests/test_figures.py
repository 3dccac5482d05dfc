"""Figures can be drawn of awkward results too; grids put each pixel where it belongs."""

import io
import subprocess
import sys

import pytest
import torch
from matplotlib.image import imread

from dlcli import figures


def size(figure) -> tuple[int, int]:
    """Draw a figure and return its width and height in pixels."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    file.seek(0)
    return imread(file).shape[1::-1]


def test_every_figure_is_640_by_480():
    positive = torch.nn.functional.one_hot(torch.arange(30) % 3, 3)
    scores, names = torch.rand(30, 3), ["a", "b", "c"]
    drawn = [
        figures.confusion(torch.arange(9).view(3, 3), names),
        figures.roc(scores, positive, names),
        figures.precision_recall(scores, positive, names),
        figures.calibration(torch.tensor([0.2, 0.7]), torch.tensor([0.3, 0.0]), torch.tensor([5, 0])),
        figures.scatter(scores, scores + 0.1),
        figures.residuals(scores, scores + 0.1),
        figures.embedding(scores[:, :2], positive.argmax(1), names),
        figures.embedding(scores[:, :2].numpy()),
    ]
    assert {size(figure) for figure in drawn} == {(640, 480)}


def test_a_confusion_names_rows_true_and_columns_predicted():
    (axes,) = figures.confusion(torch.tensor([[5, 2], [0, 7]]), ["cat", "dog"]).axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")
    assert {(text.get_position(), text.get_text()) for text in axes.texts} == {
        ((0, 0), "5"), ((1, 0), "2"), ((0, 1), "0"), ((1, 1), "7"),
    }  # fmt: skip


def test_names_with_dollars_or_of_great_length_are_drawn_literally():
    names = [r"$\oops$", "an exceedingly long name of a class of things"]
    assert size(figures.confusion(torch.ones(2, 2).long(), names)) == (640, 480)
    (axes,) = figures.roc(torch.rand(4, 2), torch.eye(2).repeat(2, 1), names).axes
    assert axes.get_legend().get_texts()[0].get_text().startswith(r"\$\oops\$")


def test_names_that_no_font_has_are_escaped(tmp_path):
    """A warning of matplotlib is an error here."""
    figure = figures.confusion(torch.eye(2, dtype=torch.long), ["\x1b[2J", "b"])
    figure.savefig(tmp_path / "confusion.png")
    assert "\\x1b[2J" in [text.get_text() for text in figure.axes[0].get_xticklabels()]


def test_many_classes_give_ten_curves_and_no_more():
    positive = torch.eye(30).repeat(3, 1)
    (axes,) = figures.roc(torch.rand(90, 30), positive, [str(i) for i in range(30)]).axes
    assert len(axes.get_legend().get_texts()) == 10
    assert axes.get_legend().get_title().get_text() == "first 10 of 30"
    assert size(figures.confusion(torch.ones(200, 200).long(), [f"class {i}" for i in range(200)])) == (640, 480)


def test_a_split_of_one_class_gives_no_curve():
    (axes,) = figures.roc(torch.rand(5, 2), torch.tensor([[1, 0]]).repeat(5, 1), ["a", "b"]).axes
    assert axes.get_legend() is None


def test_a_grid_puts_pictures_in_reading_order():
    images = torch.arange(1, 6).view(5, 1, 1, 1).expand(5, 1, 2, 3) / 10
    sheet = figures.grid(images, columns=2, gap=1)
    assert sheet.shape == (3, 3 * 3 + 1, 2 * 4 + 1)
    assert sheet[0, 1::3, 1::4].flatten().tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 1.0])
    assert (sheet[:, 0] == 1).all()


def test_small_pictures_are_enlarged_without_blur(tmp_path):
    image = torch.rand(1, 3, 8, 8)
    figures.save_grid(image, tmp_path / "x.png")
    saved = torch.tensor(imread(tmp_path / "x.png")[..., :3])
    assert saved.shape == (68, 68, 3)
    torch.testing.assert_close(saved[2:66:8, 2:66:8], image[0].permute(1, 2, 0), atol=0.01, rtol=0)
    assert torch.equal(saved[2:66:8], saved[9:66:8])


def test_a_file_of_settings_in_the_working_directory_is_not_obeyed(tmp_path):
    """It could have each text set by LaTeX, and turn pictures upside down."""
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nimage.origin: lower\nsavefig.format: pdf\n")
    code = (
        "import torch; from dlcli import figures; from matplotlib import rcParams, rcParamsDefault\n"
        "assert rcParams['text.usetex']\n"
        "figures.save_grid(torch.rand(1, 1, 8, 8), 'x.png')\n"
        "assert rcParams['image.origin'] == 'upper'\n"
        "assert not figures.canvas('a', 'b', 'c')[0].axes[0].title.get_usetex()\n"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
