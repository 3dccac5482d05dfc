"""The corpus: hostile files by the name that they bear in a run folder or on the command line."""

import io
import json
import os
import shutil
import socket
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from payloads import ARCHIVES, COMMAND, EVIL, PICKLES, PYTHON, zipped
from tensors import MALFORMED, SEALED, framed

Place = Callable[[Path], Any]


class Case(NamedTuple):
    """A hostile file: what it pretends to be, its name, and a builder that puts it at a path."""

    kind: str  # checkpoint, record, plain, scalars, stray, arrays, table, idx
    name: str
    place: Place


def put(content: bytes) -> Place:
    """Return a builder that replaces a file by bytes."""
    return lambda path: (remove(path), path.write_bytes(content))


def remove(path: Path) -> None:
    """Remove whatever stands at a path."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def made(make: Callable[[Path], Any]) -> Place:
    """Return a builder that replaces a file by something made."""
    return lambda path: (remove(path), make(path))


def listen(path: Path) -> None:
    """Put a socket at a path; its name may be short only."""
    here = os.getcwd()
    os.chdir(path.parent)
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


def sparse(path: Path) -> None:
    """Put a file of 100 GB without content at a path."""
    with path.open("wb") as file:
        file.truncate(100 * 10**9)


def outside(path: Path) -> Path:
    """Return the folder beside the one in which the command may write."""
    return next(parent for parent in path.parents if parent.name == "inside").parent / "outside"


def lead_out(path: Path) -> None:
    """Move a file outside, and leave a link to it."""
    target = outside(path) / "secret"
    if path.is_file():
        shutil.copy(path, target)
    remove(path)
    path.symlink_to(target)


ODD: dict[str, Place] = {
    "link to /etc/passwd": made(lambda path: path.symlink_to("/etc/passwd")),
    "link to /dev/zero": made(lambda path: path.symlink_to("/dev/zero")),
    "link to itself": made(lambda path: path.symlink_to(path.name)),
    "link to nothing": made(lambda path: path.symlink_to(outside(path) / "made")),
    "link out of the run": lead_out,
    "pipe": made(os.mkfifo),
    "socket": made(listen),
    "folder": made(os.mkdir),
    "100 GB of nothing": made(sparse),
    "no permission": made(lambda path: (path.write_bytes(b"{}"), path.chmod(0))),
}

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
MODULES = ["dl", "dlcli", "torch", "json", "numpy", "sitecustomize", "usercustomize", "stranger", "conftest", "rich"]
STRAYS = {
    **{f"{name}.py": PYTHON.encode() for name in MODULES},
    "x.pth": PYTHON.encode(),
    "pyproject.toml": b"[tool.x]\n",
    ".env": b"LD_PRELOAD=./x.so\n",
    "checkpoints/last.pt": ARCHIVES["torch zip"],
    "checkpoints/pytorch_model.bin": EVIL,
    "checkpoints/.metadata": EVIL,
    ".hydra/config.yaml": b"_target_: os.system\nhydra: {job_logging: {handlers: {x: {(): os.system, command: x}}}}\n",
    ".hydra/hydra.yaml": b"hydra: {job: {env_set: {LD_PRELOAD: x}}, launcher: {_target_: os.system}, searchpath: [file:///tmp]}\n",
    ".hydra/overrides.yaml": b"- hydra.launcher._target_=os.system\n",
    ".hydra/config.pickle": EVIL,
    "events.out.tfevents.9999999999.stranger": struct.pack("<Q", 2**62) + b"\xff" * 64,
}  # fmt: skip


def array(header: str, body: bytes = b"", version: tuple[int, int] = (1, 0)) -> bytes:
    """Return an .npy file with a header of our own making."""
    text = header.encode() + b"\n"
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H", min(len(text), 65535)) + text + body


def saved(**arrays: Any) -> bytes:
    """Return an .npz file as numpy writes it."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def arrays() -> Iterator[tuple[str, bytes]]:
    """Yield files that pretend to be `.npz`."""
    x, y = np.zeros((20, 4), np.float32), np.arange(20) % 2
    whole = saved(x=x, y=y)
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (20, 4), }"
    yield "objects", saved(x=np.array([{"a": 1}], dtype=object), y=y)
    yield "a pickle as x", zipped({"x.npy": EVIL, "y.npy": EVIL})
    yield "a pickle as .npy", EVIL
    yield "a lone array", array(header, b"\0" * 320)
    for name, text in {
        "code in a header": f"__import__('os').system('{COMMAND}')",
        "call in a header": "{'descr': exec('x'), 'fortran_order': False, 'shape': (1,)}",
        "deep header": "(" * 5000 + ")" * 5000,
        "objects in a header": "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
        "a shape that lies": "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000, 1000), }",
        "a negative shape": "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 4), }",
        "a shape that overflows": "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296, 4), }",
        "a shape of True": "{'descr': '<f4', 'fortran_order': False, 'shape': (True, 4), }",
        "an endless type": "{'descr': [('a', '<f4', (1000000, 1000000))], 'fortran_order': False, 'shape': (1,), }",
        "a type of texts": "{'descr': '<U1000000', 'fortran_order': False, 'shape': (20, 4), }",
        "another key": "{'descr': '<f4', 'fortran_order': False, 'shape': (20, 4), 'x': 1}",
    }.items():
        yield name, zipped({"x.npy": array(text, b"\0" * 320), "y.npy": array(text, b"\0" * 320)})
    yield "a version of 9", zipped({"x.npy": array(header, b"\0" * 320, (9, 0)), "y.npy": b""})
    yield "10 GB of zeros", zeros()
    yield "a name that leads out", zipped({"../outside/x.npy": EVIL, "/var/x.npy": EVIL})
    yield "one member twice", whole + zipped({"x.npy": EVIL, "y.npy": EVIL})
    yield "cut off", whole[:-40]
    yield "a flipped bit", whole[:200] + bytes([whole[200] ^ 1]) + whole[201:]
    yield "an encrypted member", whole.replace(b"PK\x01\x02\x2d\x03\x2d\x00\x00", b"PK\x01\x02\x2d\x03\x2d\x00\x01")
    yield "NaN", saved(x=np.full((20, 4), np.nan), y=y)
    yield "1e39", saved(x=np.full((20, 4), 1e39), y=y)
    yield "complex numbers", saved(x=x.astype(complex), y=y)
    yield "dates", saved(x=x.astype("datetime64[s]"), y=y)
    yield "a class of 2^62", saved(x=x, y=np.where(y, 2**62, 0))
    yield "a class of 2^31", saved(x=x, y=np.where(y, 2**31, 0))
    yield "a class of -1", saved(x=x, y=-y)
    yield "no rows", saved(x=x[:0], y=y[:0])
    yield "no columns", saved(x=x[:, :0], y=y)
    yield "one row", saved(x=x[:1], y=y[:1])
    yield "scalars", saved(x=np.float32(1), y=np.int64(1))
    yield "labels of seven", saved(x=x, y=np.full((20, 3), 7))
    yield "names with terminal codes", saved(x=x, y=y, names=np.array(["\x1b[2J\x1b]0;owned\x07", "[/red]\u202e"]))
    yield "names of bytes", saved(x=x, y=y, names=np.array([b"\xff", b"\xfe"]))
    yield "names without shape", saved(x=x, y=y, names=np.array("both"))


def zeros() -> bytes:
    """Return an `.npz` of some 10 MB that unpacks to 10 GB."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        block = bytes(10_000_000)
        header = array("{'descr': '|u1', 'fortran_order': False, 'shape': (10000, 1000, 1000), }")
        with archive.open("x.npy", "w", force_zip64=True) as member:
            member.write(header + block)
    content = file.getvalue()
    return content.replace(struct.pack("<Q", len(header + block)), struct.pack("<Q", 10**10))


TABLES = {
    "nothing": b"",
    "a header alone": b"a,y\n",
    "numbers for names": b"1,2\n3,4\n",
    "NUL bytes": b"a,y\n\0,1\n",
    "not UTF-8": b"a,y\n\xff,1\n",
    "UTF-16": "a,y\n1,2\n".encode("utf-16"),
    "ragged rows": b"a,y\n1,2,3\n",
    "a quote without end": b'a,y\n"1,2\n',
    "a line of 20 MB": b"a,y\n" + b"x" * 20_000_000,
    "100,000 columns": b",".join(b"c%d" % i for i in range(100_000)) + b",y\n1,2\n",
    "a column twice": b"a,a,y\n1,2,3\n",
    "formulas": b"a,y\n" + b"=cmd|' /C calc'!A0,1\n@SUM(1),2\n" * 3,
    "terminal codes": b"\x1b]0;owned\x07,y\n" + b"\x1b[2J,a\nx,b\n" * 9,
    "markup": b"a,y\n" + b"1,[/red]\n2,[link=x]\n" * 9,
    "numbers that are none": b"a,y\n" + b"inf,1\n-inf,2\n1e999,3\n" * 9,
    "numbers too large": b"a,y\n" + b"1e308,1\n-1e308,2\n" * 9,
    "numbers in other digits": "a,y\n\u00b2,1\n\u0663,2\n".encode() * 2,
    "10,000 kinds of text": b"a,y\n" + b"".join(b"t%d,%d\n" % (i, i % 2) for i in range(10_000)),
    "one answer": b"a,y\n1,1\n2,1\n3,1\n",
    "a Parquet head": b"PAR1" + b"\xff" * 64 + b"PAR1",
}
PARQUET = {
    "nothing": b"",
    "a head and a foot": b"PAR1" + b"\0" * 16 + struct.pack("<I", 8) + b"PAR1",
    "a footer without end": b"PAR1" + b"\xff" * 64 + struct.pack("<I", 2**31 - 1) + b"PAR1",
    "a negative footer": b"PAR1" + b"\xff" * 64 + struct.pack("<i", -1) + b"PAR1",
    "a pickle": EVIL,
    "an encrypted footer": b"PARE" + b"\xff" * 64 + struct.pack("<I", 32) + b"PARE",
}
IDX = {
    "a pickle": EVIL,
    "a header of 2^31": b"\0\0\x08\x03" + b"\x7f\xff\xff\xff" * 3,
    "gzip of zeros": ARCHIVES["gzip of zeros"],
    "an error page": b"<html>404</html>",
    "the right size": b"\0" * 4542,
}


def corpus() -> Iterator[Case]:
    """Yield all cases."""
    for name, content in {**PICKLES, **ARCHIVES, **MALFORMED}.items():
        yield Case("checkpoint", name, put(content))
    for name, place in {**SEALED, **ODD}.items():
        yield Case("checkpoint", name, place)
    yield from records()
    for kind in ("record", "plain"):
        yield from (Case(kind, name, put(content)) for name, content in TEXTS.items())
        yield from (Case(kind, name, place) for name, place in ODD.items())
    yield from (Case("plain", name, put(json.dumps(content).encode())) for name, content in STATUS.items())
    yield from (Case("scalars", name, put(content)) for name, content in SCALARS.items())
    yield from (Case("scalars", name, place) for name, place in ODD.items())
    yield from (Case("stray", name, put(content)) for name, content in STRAYS.items())
    yield Case("folder", "name with terminal codes", lambda run: run.rename(run.with_name("\x1b[2J[red]\u202e")))
    yield Case("folder", "checkpoints that lead out", lambda run: lead_folder_out(run / "checkpoints"))
    yield Case("folder", "figures that lead out", lambda run: lead_folder_out(run / "figures"))
    yield Case("folder", "samples that lead out", lambda run: lead_folder_out(run / "samples"))
    yield Case("folder", "attacks that lead out", lambda run: lead_folder_out(run / "attacks"))
    yield from (Case("arrays", name, put(content)) for name, content in arrays())
    yield from (Case("arrays", name, ODD[name]) for name in ODD if name != "link out of the run")
    yield from (Case("table", name, put(content)) for name, content in TABLES.items())
    yield from (Case("table", name, ODD[name]) for name in ODD if name != "link out of the run")
    yield from (Case("parquet", name, put(content)) for name, content in PARQUET.items())
    yield from (Case("idx", name, put(content)) for name, content in IDX.items())
    yield from (Case("idx", name, place) for name, place in ODD.items())


def lead_folder_out(path: Path) -> None:
    """Move a folder outside, and leave a link to it."""
    target = outside(path) / path.name
    target.mkdir(exist_ok=True)
    if path.is_dir():
        shutil.rmtree(target)
        shutil.move(path, target)
    path.symlink_to(target)
