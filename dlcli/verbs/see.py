"""What `dl eval` shows of the inside of a model: the views of a scene, and maps of its last hidden layer."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlcli.engine.randomness import aside
from dlcli.errors import ConfigError
from dlcli.seeing.health import AT_ONCE, gradients
from dlcli.seeing.scene import Scene, known
from dlcli.seeing.views import OF_LAYERS, OF_TOKENS, VIEWS

EXPLAINED = 10  # pictures


def see(model: Any, examples: Any, measured: dict[str, Tensor], names: list[str], config: dict[str, Any]) -> dict:
    """Return the figures of the named views, as far as they make sense for the model. Raises ConfigError."""
    if config["layer"] is not None:
        known(model, config["layer"])
    if not names:
        return {}
    scene = stage(model, examples, measured, config)
    views = VIEWS if classifies(model, scene, 4) else OF_LAYERS
    views = views | OF_TOKENS if classifies(model, scene, 4) or classifies(model, scene, 2) else views
    if scene.batch.x.ndim == 2 and not scene.batch.x.is_floating_point():  # tokens: these need no answer
        views = views | {"vectors": OF_TOKENS["vectors"]}
        views = views | ({"attention": OF_TOKENS["attention"]} if hasattr(model.net, "read") else {})
    figures = {name: views[name](scene) for name in names if name in views}
    return {name: figure for name, figure in figures.items() if figure is not None}


def stage(model: Any, examples: Any, measured: dict[str, Tensor], config: dict[str, Any]) -> Scene:
    """Return the model with a random sample of one batch, and the few examples to explain."""
    sample = examples.take(torch.randperm(examples.examples)[: config["batch"]])
    if config["explain"] == "worst" and "loss" in measured and measured["loss"].ndim == 1:
        few = examples.take(measured["loss"].argsort(descending=True)[:EXPLAINED])
    else:
        few = type(sample)(*(column[mixed(sample.y)[:EXPLAINED]] for column in sample))
    return Scene(model=model, batch=few, sample=sample, names=getattr(model, "names", []), layer=config["layer"])


def mixed(y: Tensor) -> Tensor:
    """Return the order in which the first example of each class comes first, then the second of each, and so on."""
    if y.ndim > 1 or y.is_floating_point():
        return torch.arange(len(y))
    count = int(y.max()) + 1
    place = F.one_hot(y, count).cumsum(0).gather(1, y[:, None])[:, 0]  # among the examples of its class
    return (place * count + y).argsort()


def classifies(model: Any, scene: Scene, dims: int) -> bool:
    """Tell whether a model maps pictures (`dims` 4) or texts (2, of whole numbers) to logits of one class each."""
    x, y = scene.batch.x, scene.batch.y
    kind = x.ndim == dims and x.is_floating_point() == (dims == 4)
    return type(model).forward is not nn.Module.forward and kind and y.ndim == 1 and not y.is_floating_point()


def gradient_norms(model: Any, examples: Any) -> dict[str, float]:
    """Return the gradient norm of each layer on the first examples, without touching any random stream."""
    with aside(0):
        return gradients(model, examples.take(torch.arange(min(AT_ONCE, examples.examples))))


def maps(model: Any, examples: Any, points: int) -> dict[str, Any]:
    """Return the PCA and t-SNE maps of the last hidden layer, by class and as pictures, where the model has one."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    from dlcli.figures import embedding, thumbnails

    count = min(points, examples.examples)
    some = examples.take(torch.randperm(examples.examples)[:count])
    try:
        with torch.no_grad():
            vectors = model.embed(some).flatten(1).cpu().numpy() if count >= 10 else None
    except ConfigError:
        return {}
    if vectors is None or vectors.shape[1] < 2 or some.y.ndim > 1:
        return {}
    kinds, names = some.y.cpu(), getattr(model, "names", None)
    near = TSNE(perplexity=min(30.0, (count - 1) / 3), init="pca", random_state=0).fit_transform(vectors)
    figures, what = {}, "codes" if hasattr(model, "decode") else "last hidden layer"
    for kind, title, places in (("pca", "PCA", PCA(2).fit_transform(vectors)), ("tsne", "t-SNE", near)):
        figures[kind] = embedding(places, kinds, names, f"{what}, {title}")
        if some.x.ndim == 4:
            figures[f"{kind}_pictures"] = thumbnails(places, some.x, kinds, names, f"{what}, {title}")
    return figures
