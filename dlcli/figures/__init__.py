"""Figures of results, 640x480 points, and sheets of pictures, as large as they must be."""

from dlcli.figures.adversarial import adversarial, robustness
from dlcli.figures.attention import Alignment, alignments
from dlcli.figures.canvas import ACCENT, INK, PALE, canvas, colours, plain
from dlcli.figures.codes import curves, lattice
from dlcli.figures.grids import coloured, grid, save_each, save_grid
from dlcli.figures.latent import WALK, telling, traversal, units
from dlcli.figures.layers import bars, histograms, magnitudes
from dlcli.figures.lines import lines
from dlcli.figures.maps import embedding, named, thumbnails
from dlcli.figures.panels import Row, sheet, tiles
from dlcli.figures.points import ring
from dlcli.figures.scores import calibration, confusion, precision_recall, residuals, roc, scatter
from dlcli.figures.sequences import fading, gates, heads, positions

__all__ = [
    "ACCENT", "INK", "PALE", "WALK", "Alignment", "Row", "adversarial", "alignments", "bars", "calibration", "canvas",
    "coloured", "colours", "confusion", "curves", "embedding", "fading", "gates", "grid", "heads", "histograms",
    "lattice", "lines", "magnitudes", "named", "plain", "positions", "precision_recall", "residuals", "ring",
    "robustness", "roc", "save_each", "save_grid", "scatter", "sheet", "telling", "thumbnails", "tiles", "traversal",
    "units",
]  # fmt: skip
