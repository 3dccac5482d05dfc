"""The views by name: each draws a scene, or nothing where it makes no sense.

`VIEWS` are of pictures and layers, `OF_TOKENS` of texts and of what attends, `OF_CODES` of rules with codes. `USUAL`
are those that need a few passes through the net, and do not repeat what the report of many rules has.
"""

from collections.abc import Callable
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from dlcli.errors import ConfigError
from dlcli.seeing import filters, gates, gradcam, heads, health, occlusion, saliency, strongest, vectors, words
from dlcli.seeing.codes.views import OF_CODES
from dlcli.seeing.scene import Scene

if TYPE_CHECKING:
    from matplotlib.figure import Figure

View = Callable[[Scene], "Figure | None"]

OF_PICTURES: dict[str, View] = {
    "filters": filters.draw,
    "maps": filters.draw_maps,
    "saliency": saliency.draw,
    "gradcam": gradcam.draw,
    "occlusion": occlusion.draw,
    "strongest": strongest.draw,
    "units": strongest.draw_ideal,
    "ideal": strongest.draw_classes,
}
OF_TOKENS: dict[str, View] = {
    "words": words.draw,
    "attention": heads.draw,
    "gates": gates.draw,
    "vectors": vectors.draw,
}
OF_LAYERS: dict[str, View] = {
    "gradients": health.draw_gradients,
    "dead": health.draw_dead,
    "weights": health.draw_weights,
}
VIEWS = OF_PICTURES | OF_LAYERS
SPECIAL = ("occlusion", "units", "ideal", "walk")
USUAL = tuple(name for name in (*VIEWS, *OF_TOKENS, *OF_CODES) if name not in SPECIAL)


def chosen(words: Any) -> list[str]:
    """Return the views that `usual`, `all` or a list names. Raises ConfigError with the nearest name."""
    if words in ("usual", "all"):
        return list(USUAL if words == "usual" else (*VIEWS, *OF_TOKENS, *OF_CODES))
    names = words if isinstance(words, list) else [words] if words else []
    known = VIEWS | OF_TOKENS | OF_CODES
    for name in map(str, names):
        if name not in known:
            near = get_close_matches(name, [*known, "usual", "all"], 1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise ConfigError(f"see={name}: no such view; {hint}views: {', '.join(known)}; or usual, all, []")
    return names
