"""`dl eval` looks inside: which figures there are for whom, and how mistakes are told."""

from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure

from dlcli.batch import Images, Table
from dlcli.data.loader import Resident
from dlcli.errors import ConfigError
from dlcli.models.binary import Binary
from dlcli.models.classifier import Classifier
from dlcli.models.regressor import Regressor
from dlcli.nets.cnn import SmallCNN
from dlcli.nets.layers import Picture
from dlcli.nets.lenet import LeNet5
from dlcli.nets.mlp import MLP, Linear
from dlcli.seeing.codes.views import OF_CODES
from dlcli.seeing.views import OF_LAYERS, OF_PICTURES, OF_TOKENS, USUAL, VIEWS, chosen
from dlcli.verbs.see import maps, mixed, see, stage

ASKED = {"batch": 20, "layer": None, "explain": "classes"}


def pictures(channels: int = 1, classes: int = 3) -> Resident:
    """Return thirty random pictures."""
    x = (256 * torch.rand(30, channels, 12, 12)).byte()
    return Resident(Images(x, torch.arange(30) % classes), size=20, shuffle=False)


def drawn(model, examples, names=tuple(VIEWS), **asked) -> dict[str, Figure]:
    """Return the figures of a model."""
    return see(model.eval(), examples, {}, list(names), ASKED | asked)


def cnn(channels: int = 1) -> Classifier:
    """Return an untrained convolutional classifier of three classes."""
    net = SmallCNN(picture=Picture(channels=channels, height=12, width=12), classes=3, widths=(4, 8))
    return Classifier(net=net, classes=3, names=["$cat", "dog", "a rather long name of a class"])


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_convolutional_net_has_every_view(channels):
    found = drawn(cnn(channels), pictures(channels))
    assert set(found) == set(VIEWS)
    for name in ("filters", "saliency", "gradcam", "weights", "dead", "ideal"):
        found[name].canvas.draw()  # which fails on colours and texts that cannot be drawn


def test_a_net_without_convolutions_has_no_maps_and_one_without_rectifiers_no_dead_units():
    net = MLP(inputs=144, widths=[9], outputs=3, activation="tanh")
    assert set(VIEWS) - set(drawn(Classifier(net=net, classes=3), pictures())) == {"maps", "gradcam", "dead"}
    net = Linear(inputs=144, outputs=3)
    assert set(VIEWS) - set(drawn(Classifier(net=net, classes=3), pictures())) == {"maps", "gradcam", "dead"}


def test_one_logit_is_enough_to_be_looked_at():
    net = LeNet5(picture=Picture(channels=1, height=12, width=12), classes=1)
    assert set(drawn(Binary(net=net, labels=1), pictures(classes=2))) == set(VIEWS)


def test_of_tables_and_of_numbers_only_the_layers_are_drawn():
    rows = Resident(Table(torch.randn(30, 5), torch.arange(30) % 3), size=20, shuffle=False)
    assert set(drawn(Classifier(net=MLP(inputs=5, widths=[4], outputs=3), classes=3), rows)) == set(OF_LAYERS)
    numbers = Resident(Table(torch.randn(30, 5), torch.randn(30, 1)), size=20, shuffle=False)
    model = Regressor(net=Linear(inputs=5, outputs=1), mean=[0.0], std=[1.0])
    assert set(drawn(model, numbers)) == {"gradients", "weights"}


def test_a_layer_by_name_is_the_one_looked_at():
    for layer, there in (("net.stages.0", True), ("net.head.2", False)):
        found = drawn(cnn(), pictures(), ("gradcam", "maps", "units"), layer=layer)
        assert ("gradcam" in found, "maps" in found) == (there, there)
        assert layer in found["units"].axes[0].get_title()
    with pytest.raises(ConfigError, match=r"layer=net.stages.9: no such layer; did you mean net\.stages"):
        drawn(cnn(), pictures(), layer="net.stages.9")
    with pytest.raises(ConfigError, match=r"layer=net.stages.9"):
        drawn(cnn(), pictures(), (), layer="net.stages.9")


def test_pictures_of_all_classes_come_first_or_the_worst():
    y = torch.tensor([0, 0, 2, 0, 1, 2, 2])
    assert mixed(y).tolist() == [0, 4, 2, 1, 5, 3, 6]
    examples, loss = pictures(), torch.rand(30)
    worst = stage(cnn(), examples, {"loss": loss}, ASKED | {"explain": "worst"}).batch
    assert torch.equal(worst.x, examples.take(loss.argsort(descending=True)[:10]).x)


def test_maps_show_pictures_as_points_too():
    assert set(maps(cnn().eval(), pictures(), 25)) == {"pca", "tsne", "pca_pictures", "tsne_pictures"}
    rows = Resident(Table(torch.randn(30, 5), torch.arange(30) % 3), size=20, shuffle=False)
    assert set(maps(Classifier(net=MLP(inputs=5, widths=[4], outputs=3), classes=3), rows, 25)) == {"pca", "tsne"}


def test_views_are_chosen_by_word_or_by_name():
    assert chosen("all") == [*VIEWS, *OF_TOKENS, *OF_CODES]
    assert chosen("usual") == list(USUAL)
    assert chosen([]) == chosen("") == []
    assert chosen("saliency") == ["saliency"]
    assert chosen(["dead", "maps"]) == ["dead", "maps"]
    for wrong in ("salience", 3, {"saliency": 1}):
        with pytest.raises(ConfigError, match="no such view"):
            chosen(wrong if wrong == "salience" else [wrong])
    with pytest.raises(ConfigError, match="see=3"):
        chosen(3)


def test_no_view_bears_the_name_of_something_else_in_a_report():
    model = cnn()
    logits = torch.randn(30, 3)
    report = model.report({"logits": logits, "truth": torch.arange(30) % 3, "loss": torch.rand(30)})
    assert not set(report) & set(VIEWS)


def test_dl_eval_writes_the_figures(dl):
    assert dl("train", "model=lenet", "epochs=2", "limit=0.1", "log.gradients=true")[0] == 0
    (run,) = Path("outputs").glob("*/*")
    norms = [row for row in (run / "scalars.csv").read_text().splitlines() if "gradient/net.layers.1," in row]
    assert len(norms) == 2  # epochs
    code, out, _ = dl("eval", "points=0", "mistakes=0")
    assert code == 0
    assert "macro average" in out
    written = {path.stem.removeprefix("test-") for path in (run / "figures").glob("test-*.png")}
    assert set(USUAL) - set(OF_CODES) - set(OF_TOKENS) <= written
    assert not (set(OF_PICTURES) - set(USUAL)) & written
    for words, told in (
        (("see=[salience]",), "see=salience: no such view; did you mean saliency? views: filters, maps,"),
        (("layer=net.layer.4",), "layer=net.layer.4: no such layer; did you mean net.layers.4?"),
        (("explain=best",), "explain=best: explain must be one of classes, worst"),
    ):
        code, _, err = dl("eval", "points=0", *words)
        assert code == 2
        assert told in err


def test_a_view_asked_by_name_that_a_model_does_not_have_is_told(dl, undrawn):
    assert dl("train", "model=softmax", "epochs=1", "limit=0.1")[0] == 0
    code, out, _ = dl("eval", "points=0", "see=[saliency,gradcam]")
    assert code == 0
    assert "see=gradcam: a Classifier has nothing of it to draw" in out
    assert "see=saliency" not in out
    assert "nothing of it" not in dl("eval", "points=0")[1]
