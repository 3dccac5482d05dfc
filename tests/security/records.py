"""What pretends to be the record of a run: `run.json` and the other texts of a run folder."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from payloads import COMMAND, EVIL, PYTHON
from places import Case, Place
from tensors import framed

DEEP = range(1, 12)
LAUGH = b",".join([b"*a%d"] * 8)
TEXTS = {
    "nothing": b"",
    "half an object": b'{"config": {',
    "a list": b"[]",
    "a number": b"1",
    "UTF-16": '{"config": {}}'.encode("utf-16"),
    "Latin-1": b'{"config": "\xe9\xff"}',
    "NUL bytes": b'{"config": "\0\0"}',
    "10^5 levels": b'{"config": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "10^5 levels of objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "a number of 10^6 digits": b'{"config": ' + b"9" * 1_000_000 + b"}",
    "a text of 50 MB": b'{"config": "' + b"a" * 50_000_000 + b'"}',
    "5 million empty objects": b'{"config": [' + b"{}," * 5_000_000 + b"{}]}",
    "a key twice": b'{"config": {}, "config": {"model": {}}}',
    "half a character": b'{"config": {"name": "\\ud800"}}',
    "a pickle": EVIL,
    "YAML with a call": f"!!python/object/apply:os.system ['{COMMAND}']\n".encode(),
    "YAML with a name": b"a: !!python/name:os.system\n",
    "YAML that laughs": b"a0: &a0 [x]\n" + b"".join(b"a%d: &a%d [%s]\n" % (i, i, LAUGH % ((i - 1,) * 8)) for i in DEEP),
    "Python": PYTHON.encode(),
    "HTML": b"<script>alert(1)</script>",
    "a safetensors file": framed({}),
}  # fmt: skip

TARGETS = (
    "os.system",
    "posix.system",
    "subprocess.run",
    "builtins.eval",
    "builtins.exec",
    "pickle.loads",
    "runpy.run_path",
    "webbrowser.open",
    "logging.os.system",
    "logging.FileHandler",
    "torch.load",
    "torch.hub.load",
    "torch.optim.adam.torch.load",
    "torch.utils.cpp_extension.load_inline",
    "hydra.utils.instantiate",
    "pdb.Pdb._getval",
    "stranger.Spy",
    "dlcli.config.build.importlib.import_module",
    "dlcli.nets.mlp.torch.hub.load",
    "dlcli.models.classifier.Classifier.__init__.__globals__",
    "dlcli.data.fetch.fetch",
    "dlcli.verbs.common.git",
    "dlcli.run.Run",
    "dlсli.nets.mlp.MLP",  # noqa: RUF001 (a Cyrillic letter, on purpose)
    "resnet18;touch canary",
    "../../x",
    "",
)
PLACES = ("model", "model.net", "model.encoder", "data.source", "optimizer", "schedule", "init", "augment")
VALUES: tuple[Any, ...] = (None, [], {}, "x", -1, 0, 2.5, 1e400, 10**39, True, "${oc.env:SECRET}", "\x1b[31m\u202e")
KEYS = [
    "name",
    "seed",
    "epochs",
    "batch",
    "precision",
    "clip",
    "accumulate",
    "ema",
    "patience",
    "players",
    "layers",
    "log",
    "save",
    "paths",
    "device",
    "device.name",
    "device.index",
    "data.name",
    "data.source",
    "data.classes",
    "data.names",
    "data.mean",
    "data.kind",
    "model.classes",
    "model.net.widths",
    "model.latent",
    "optimizer.lr",
    "schedule",
    "monitor",
]
SWITCHES = [
    "_instantiator",
    "_class_path",
    "trust_remote_code",
    "_attn_implementation_internal",
    "weights_only",
    "safe_mode",
    "_args_",
    "__class__",
    "__proto__",
]


def record(**changes: Any) -> Place:
    """Return a builder that sets dotted keys of the config in `run.json`, where they exist."""

    def place(path: Path) -> None:
        content = json.loads(path.read_text(encoding="utf-8"))
        for key, value in changes.items():
            node = content["config"]
            *above, last = key.split(".")
            for part in above:
                node = node.get(part, {}) if isinstance(node, dict) else {}
            node[last] = value
        path.write_text(json.dumps(content), encoding="utf-8")

    return place


def target(name: str) -> dict[str, Any]:
    """Return a node that names code."""
    return {"_target_": name, "command": COMMAND, "_partial_": False}


CODES = "\x1b]0;owned\x07\x1b[2J"
CHANGES: dict[str, dict[str, Any]] = {
    "target in a list": {"model": {"_target_": "dlcli.models.classifier.Classifier", "net": [[target("os.system")]]}},
    "target as a key": {"model": {"os.system": COMMAND, "_target_": {"_target_": "os.system"}}},
    "plug-ins of its own": {"plugins": ["stranger", "os"], "model": target("stranger.Spy")},
    "widths of 10^9": {"model.net.widths": [10**9], "model.encoder.widths": [10**9]},
    "10^7 inputs": {"model.net.inputs": 10**7, "model.encoder.inputs": 10**7},
    "a long way up": {"data.source": {"_target_": "dlcli.data.idx.IDX", "folder": "../../../etc"}},
    "a file of others": {"data.source": {"_target_": "dlcli.data.arrays.ArrayFile", "path": "/etc/passwd"}},
    "a device as data": {"data.source": {"_target_": "dlcli.data.table.TableFile", "path": "/dev/zero", "target": "y"}},
    "classes with terminal codes": {"model.names": [CODES] * 10, "data.names": ["[/red]"] * 10},
    "outputs elsewhere": {"paths.outputs": "../outside", "paths.data": "../outside"},
    "an environment variable": {"model.names": ["${oc.env:SECRET}"] * 10, "name": "${oc.env:SECRET}"},
}


def records() -> Iterator[Case]:
    """Yield files that pretend to be `run.json`."""
    for number, name in enumerate(TARGETS):
        spot = PLACES[number % len(PLACES)] if number >= len(PLACES) else "model"
        yield Case("record", f"{spot}: {name!r}", record(**{spot: target(name), "model": target(name)}))
    for spot in PLACES:
        yield Case("record", f"os.system in {spot}", record(**{spot: target("os.system")}))
    for switch in SWITCHES:
        yield Case("record", f"switch {switch}", record(**{f"model.{switch}": "os.system"}))
    for number, key in enumerate(KEYS):
        for value in (VALUES[number % len(VALUES)], VALUES[(number * 5 + 3) % len(VALUES)]):
            yield Case("record", f"{key} = {value!r:.40}", record(**{key: value}))
    for name, changes in CHANGES.items():
        yield Case("record", name, record(**changes))


STATUS = {
    "score that is a text": {"state": "done", "monitor": "accuracy", "score": "x"},
    "score without a name": {"score": 1.0},
    "terminal codes": {"state": "\x1b[2J\x1b]0;owned\x07\u202e", "monitor": "[/red]", "score": 1, "step": "\r\n"},
    "markup": {"state": "[/red]", "monitor": "[link=http://x]", "score": 1.0},
    "process of another kind": {"state": "running", "pid": "../../etc/passwd", "host": None},
    "process without end": {"state": "running", "pid": -1, "host": "localhost"},
    "step of 10^39": {"state": "done", "step": 10**39, "at": 10**39, "score": 1.0, "monitor": "m"},
    "step that is a text": {"state": "done", "step": "x", "at": "y"},
}
SCALARS = {
    "nothing": b"",
    "another header": b"a,b,c\n1,2,3\n",
    "NUL bytes": b"step,name,value\n1,\0,3\n",
    "not UTF-8": b"step,name,value\n1,\xff,3\n",
    "a cell of 1 MB": b"step,name,value\n1," + b"x" * 1_000_000 + b",3\n",
    "a step in other digits": "step,name,value\n\u00b2,loss,3\n".encode(),
    "a step of 10^5 digits": b"step,name,value\n" + b"9" * 100_000 + b",loss,3\n",
    "short rows": b"step,name,value\n1\n\n1,2\n",
    "long rows": b"step,name,value\n1,2,3,4,5\n",
    "a quote without end": b'step,name,value\n1,"loss,3\n',
    "formulas": b"step,name,value\n1,\"=cmd|' /C calc'!A0\",@SUM(1)\n",
}
