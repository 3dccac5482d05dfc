"""What a config may name, and what it may not."""

import json
import re
import sys
import types

import pytest
import torch

from dlcli.config.build import build
from dlcli.errors import ConfigError, RefusedError


def test_builds_nested_nodes_and_partials():
    model = build(
        {
            "_target_": "dlcli.models.classifier.Classifier",
            "classes": 3,
            "net": {"_target_": "dlcli.nets.mlp.MLP", "inputs": 4, "widths": [5], "outputs": 3},
        }
    )
    assert sum(p.numel() for p in model.parameters()) == 4 * 5 + 5 + 5 * 3 + 3
    optimizer = build({"_target_": "torch.optim.Adam", "_partial_": True, "lr": 0.5})(model.parameters())
    assert isinstance(optimizer, torch.optim.Adam)
    assert optimizer.defaults["lr"] == 0.5


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "posix.system",
        "subprocess.run",
        "builtins.eval",
        "pickle.loads",
        "torch.load",
        "torch.hub.load",
        "torch.optim.adam.torch.load",
        "logging.os.system",
        "dlcli.config.build.importlib.import_module",
        "dlcli.models.classifier.torch.load",
        "dlcli.nets.mlp.nn.Linear",
        "dlcli.run.Run",
        "dlcli.verbs.common.git",
        "torch.optim.lr_scheduler.LambdaLR",
        "webbrowser.open",
        "dlcli.nets.mlp.MLP.__init__",
        "",
        ".",
        3,
        None,
        ["os.system"],
        "torch.optim.swa_utils.torch.load",
        "dlcli.data.fetch.fetch",
        "dlcli.models.classifier.Model",
    ],
)
@pytest.mark.parametrize(
    "wrap",
    [
        lambda node: node,
        lambda node: {"inner": [node]},
        lambda node: {"_target_": "dlcli.nets.mlp.MLP", "inputs": node},
    ],
)
def test_refuses_every_other_target_at_every_depth(target, wrap):
    with pytest.raises((RefusedError, ConfigError)):
        build(wrap({"_target_": target, "command": "touch canary"}))


def test_nothing_is_built_when_one_target_is_refused(monkeypatch):
    built = []
    module = types.ModuleType("friendly")
    module.Spy = type("Spy", (), {"__module__": "friendly", "__init__": lambda self: built.append(1)})
    monkeypatch.setitem(sys.modules, "friendly", module)
    build({"_target_": "friendly.Spy"}, plugins=["friendly"])
    assert built == [1]
    with pytest.raises(RefusedError):
        build({"a": {"_target_": "friendly.Spy"}, "b": {"_target_": "os.system"}}, plugins=["friendly"])
    assert built == [1]


def test_an_unknown_argument_names_the_nearest():
    with pytest.raises(ConfigError, match="MLP takes no argument 'width'; did you mean widths"):
        build({"_target_": "dlcli.nets.mlp.MLP", "inputs": 4, "width": [5], "outputs": 3})


def test_the_file_of_a_run_cannot_say_whose_code_may_run(dl, undrawn, tmp_path, monkeypatch):
    (tmp_path / "stranger.py").write_text(
        "class Spy:\n    def __init__(self, path):\n        open(path, 'w').close()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    canary = tmp_path / "canary"
    assert dl("train", "data=iris", "epochs=1")[0] == 0
    (path,) = tmp_path.glob("outputs/*/*/run.json")
    record = json.loads(path.read_text())
    record["config"]["plugins"] = ["stranger"]
    record["config"]["model"] = {"_target_": "stranger.Spy", "path": str(canary)}
    path.write_text(json.dumps(record))
    for words in (("train", "resume", "epochs=2"), ("eval",), ("sample",)):
        code, _, err = dl(*words)
        assert code == 8, err
        assert "_target_ 'stranger.Spy'" in err
    assert not canary.exists()
    dl("eval", "plugins=[stranger]")  # the positive control: the user may say so
    assert canary.exists()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], "latent=[] must be a whole number"),
        (10**39, "must be below 5e+18"),
        (True, "latent=True must be a whole number"),
        ("8", "latent='8' must be a whole number"),
        (None, "latent=null must be a whole number; leave latent out"),
    ],
)
def test_arguments_are_of_the_kind_that_the_class_states(value, said):
    node = {"_target_": "dlcli.nets.vae.Decoder", "latent": value, "widths": [4], "shape": [9]}
    with pytest.raises(ConfigError, match=re.escape(said)):
        build(node)
    for widths in (4, ["4"], [[4]], {}):
        with pytest.raises(ConfigError, match="widths="):
            build({**node, "latent": 2, "widths": widths})
    assert build({**node, "latent": 2}).shape == (9,)
