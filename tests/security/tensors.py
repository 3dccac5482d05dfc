"""Hostile safetensors files: such as no writer makes, and such as are whole but hold what no training leaves."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from payloads import EVIL, TORCH
from places import Place
from safetensors.torch import load, save

from dlcli.engine.checkpoint import digest


def framed(header: Any, body: bytes = b"", size: int | None = None) -> bytes:
    """Return a safetensors file with a header of our own making."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + body


def entry(shape: Any, offsets: Any, dtype: Any = "F32") -> dict[str, Any]:
    """Return what a header says of one tensor."""
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


TWICE = b'"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}'
MALFORMED = {
    "empty": b"",
    "seven bytes": b"\0" * 7,
    "header of no length": framed(b"", size=0),
    "header of 2^63": framed(b"{}", size=2**63),
    "header of 2^64-1": framed(b"{}", size=2**64 - 1),
    "header beyond the file": framed(b"{}", size=1000),
    "header of 101 MB": framed(b" " * 101_000_000),
    "header that is not UTF-8": framed(b'{"\xff\xfe":1}'),
    "header that is not JSON": framed(b"{nothing}"),
    "header that is a list": framed([1]),
    "header nested 100,000 times": framed(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "list nested 100,000 times": framed(b'{"__metadata__":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "one tensor twice": framed(b"{%s,%s}" % (TWICE, TWICE), b"\0"),
    "a hole": framed({"a": entry([1], [0, 4]), "b": entry([1], [8, 12])}, b"\0" * 12),
    "an overlap": framed({"a": entry([2], [0, 8]), "b": entry([2], [4, 12])}, b"\0" * 12),
    "negative offsets": framed({"a": entry([1], [-4, 0])}, b"\0" * 4),
    "reversed offsets": framed({"a": entry([1], [4, 0])}, b"\0" * 4),
    "three offsets": framed({"a": entry([1], [0, 4, 8])}, b"\0" * 8),
    "offsets beyond the file": framed({"a": entry([1000], [0, 4000])}, b"\0" * 4),
    "a shape that is not the size": framed({"a": entry([3], [0, 4])}, b"\0" * 4),
    "a shape whose product overflows": framed({"a": entry([2**32, 2**32, 2**32], [0, 4])}, b"\0" * 4),
    "a negative shape": framed({"a": entry([-1], [0, 4])}, b"\0" * 4),
    "a shape of texts": framed({"a": entry(["1"], [0, 4])}, b"\0" * 4),
    "an endless shape": framed({"a": entry([1] * 100_000, [0, 4])}, b"\0" * 4),
    "an unknown type": framed({"a": entry([1], [0, 4], "OBJECT")}, b"\0" * 4),
    "a type that is a number": framed({"a": entry([1], [0, 4], 7)}, b"\0" * 4),
    "metadata that is a list": framed({"__metadata__": []}),
    "metadata that is nested": framed({"__metadata__": {"state": {"a": 1}, "sha256": "0"}}),
    "no metadata": save({"a": torch.zeros(1)}),
    "metadata of another": save({"a": torch.zeros(1)}, {"format": "pt"}),
    "a digest that is not true": save({"a": torch.zeros(1)}, {"state": "{}", "sha256": "0" * 64}),
    "100,000 tensors": framed({f"t{i}": entry([0], [0, 0]) for i in range(100_000)}),
    "a pickle in the header": framed(EVIL),
    "a pickle in the tail": save({"a": torch.zeros(1)}) + EVIL,
    "a torch zip in the tail": save({"a": torch.zeros(1)}) + TORCH,
    "bytes after the last tensor": save({"a": torch.zeros(1)}) + b"\0",
}  # fmt: skip


def sealed(change: Callable[[dict[str, torch.Tensor], Any], Any], text: str | None = None) -> Place:
    """Return a builder that changes a good checkpoint and signs it again, as a stranger can."""

    def place(path: Path) -> None:
        content = path.read_bytes()
        tensors = {name: value.clone() for name, value in load(content).items()}
        size = int.from_bytes(content[:8], "little")
        plain = json.loads(json.loads(content[8 : 8 + size]).get("__metadata__", {}).get("state", "{}"))
        change(tensors, plain)
        state = json.dumps(plain) if text is None else text
        path.write_bytes(save(tensors, {"state": state, "sha256": digest(tensors, state)}))

    return place


def each(function: Callable[[torch.Tensor], torch.Tensor]) -> Place:
    """Return a builder that changes every tensor."""
    return sealed(lambda tensors, plain: tensors.update({name: function(value) for name, value in tensors.items()}))


def first(name: str, value: torch.Tensor) -> Place:
    """Return a builder that adds a tensor."""
    return sealed(lambda tensors, plain: tensors.update({name: value}))


def stated(**values: Any) -> Place:
    """Return a builder that replaces plain data of the state."""
    return sealed(lambda tensors, plain: plain.update(values))


def floats(value: torch.Tensor, number: float) -> torch.Tensor:
    """Return a tensor of one number where it holds floats."""
    return torch.full_like(value, number) if value.is_floating_point() else value


nothing = sealed(lambda tensors, plain: tensors.clear())
SEALED: dict[str, Place] = {
    "weights NaN": each(lambda value: floats(value, float("nan"))),
    "weights infinite": each(lambda value: floats(value, float("inf"))),
    "weights 1e38": each(lambda value: floats(value, 1e38)),
    "other shapes": each(lambda value: value.flatten()[:1].clone()),
    "other types": each(lambda value: value.to(torch.int8)),
    "complex weights": each(lambda value: value.to(torch.complex64) if value.is_floating_point() else value),
    "no tensors": nothing,
    "a tensor named ../../evil": first("model/../../evil", torch.zeros(1)),
    "a tensor named with NUL": first("model/\0\x1b[31m", torch.zeros(1)),
    "a tensor with a name of 1 MB": first("model/" + "x" * 1_000_000, torch.zeros(1)),
    "a tensor named __class__": first("model/net.__class__", torch.zeros(1)),
    "random state of another size": first("random/cpu", torch.zeros(3, dtype=torch.uint8)),
    "random state of noise": each(lambda v: torch.full_like(v, 255) if v.dtype == torch.uint8 else v),
    "state that is a list": sealed(lambda *_: None, "[]"),
    "state that is no JSON": sealed(lambda *_: None, "os.system"),
    "state nested 100,000 times": sealed(lambda *_: None, "[" * 100_000 + "]" * 100_000),
    "state of a million digits": sealed(lambda *_: None, '{"clock": ' + "9" * 1_000_000 + "}"),
    "state with a target": stated(_target_="os.system", clock={"_target_": "os.system"}),
    "negative step": stated(clock={"step": -1, "steps": 10, "epoch": 0}),
    "step that is a text": stated(clock={"step": "x", "steps": "y", "epoch": "z"}),
    "step of 10^30": stated(clock={"step": 10**30, "steps": 10**30, "epoch": 10**30}),
    "position that is a text": stated(position="x"),
    "position of -5": stated(position=-5),
    "pieces of 0": stated(pieces=0),
    "pieces of 10^30": stated(pieces=10**30),
    "best of the wrong kind": stated(best=[]),
    "best with a class": stated(best={"__class__": "os", "monitor": "\x1b[31m"}),
    "schedule of the wrong kind": stated(schedule="x"),
    "scaler of the wrong kind": stated(scaler={"scale": "x", "_growth_tracker": None}),
    "optimizers of the wrong kind": stated(optimizers={"model": {"groups": [], "numbers": {"x": 1}}}),
    "optimizers without end": stated(optimizers={"model": {"groups": [{"params": [10**9]}], "numbers": {}}}),
    "traces of the wrong kind": stated(traces={"sums": 1, "counts": None}),
    "random of the wrong kind": stated(random={"python": [1, [2], None], "numpy": "x"}),
}
