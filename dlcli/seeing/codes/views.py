"""The views of codes by name: each draws figures and tells tables, or says what it lacks."""

from collections.abc import Callable
from typing import Any, NamedTuple

from dlcli.seeing.codes import (
    anomaly,
    arithmetic,
    clusters,
    compression,
    interpolation,
    neighbours,
    reconstruction,
    traversal,
)
from dlcli.seeing.codes.scene import Codes, Need, classes, pictures


class View(NamedTuple):
    """Something to draw, and what it needs."""

    draw: Callable[[Codes], dict[str, Any]]
    needs: tuple[Need, ...] = (pictures,)

    def lacks(self, codes: Codes) -> str | None:
        """Return what is missing first, if anything is."""
        return next((missing for need in self.needs if (missing := need(codes))), None)


OF_CODES = {
    "reconstruction": View(reconstruction.draw),
    "interpolation": View(interpolation.draw),
    "arithmetic": View(arithmetic.draw, (pictures, classes)),
    "walk": View(traversal.draw),
    "plane": View(traversal.draw_plane, (pictures, traversal.two)),
    "neighbours": View(neighbours.draw, (classes,)),
    "clusters": View(clusters.draw, (classes,)),
    "compression": View(compression.draw),
    "anomaly": View(anomaly.draw, (classes, anomaly.strangers)),
}
