"""A map of the vectors of tokens: what a net reads alike lies near.

the most frequent tokens v of some texts, at the first two principal components of their vectors e_v (D,)
"""

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from dlcli.figures import named
from dlcli.seeing.scene import Scene
from dlcli.tokens import Vocabulary

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 120  # tokens whose names find room


def vocabulary(model: Any) -> Vocabulary | None:
    """Return what the tokens that a model reads are called; None where it does not know."""
    holders = (model, getattr(model, "speech", None), getattr(model, "source", None))
    return next((known for holder in holders if (known := getattr(holder, "vocabulary", None))), None)


def table(model: nn.Module, tokens: int) -> Tensor | None:
    """Return the vectors that a model means by its tokens, (V, D), else those that its net reads them as.

    None where a net embeds no so many.
    """
    if meant := getattr(model, "vectors", None):
        return meant()
    tables = (module.weight for module in model.modules() if isinstance(module, nn.Embedding))
    return next((weight for weight in tables if len(weight) >= tokens), None)


def map_of(vectors: Tensor, x: Tensor, known: Vocabulary | None) -> "Figure | None":
    """Draw the vectors (V, D) of the most frequent tokens of x (B, T); nothing for fewer than three."""
    from sklearn.decomposition import PCA

    counts = x.flatten().cpu().long().bincount(minlength=len(vectors))
    counts[[0] if known is None else known.specials] = 0
    often = counts.argsort(descending=True, stable=True)[: min(MOST, int((counts > 0).sum()))]
    if len(often) < 3 or vectors.shape[1] < 2:
        return None
    places = PCA(2).fit_transform(vectors.detach().cpu()[often].float().numpy())
    names = [str(n) if known is None else known.decode([n]).strip() or repr(known.tokens[n]) for n in often.tolist()]
    return named(places, names, "vectors of the most frequent tokens, PCA")


def draw(scene: Scene) -> "Figure | None":
    """Draw the vectors of the tokens of the sample; nothing for a net that reads none."""
    x, known = scene.sample.x, vocabulary(scene.model)
    vectors = table(scene.model, len(known) if known else int(x.max()) + 1)
    return None if vectors is None else map_of(vectors, x, known)
