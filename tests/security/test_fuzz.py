"""Thousands of slightly wrong files: every reader ends in its own typed error, or reads something."""

import io
import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from witness import witness

from dlcli import jsonfile
from dlcli.data import idx
from dlcli.data.arrays import ArrayFile
from dlcli.data.table import TableFile
from dlcli.engine import checkpoint
from dlcli.errors import DlError

QUICK, THOROUGH = 150, 100_000  # mutations of each kind of file
Read = Callable[[bytes], object]


def mutated(seed: bytes, draw: random.Random) -> bytes:
    """Return a file with bits flipped, bytes cut out, doubled, or replaced by values that break arithmetic."""
    content = bytearray(seed)
    for _ in range(draw.randint(1, 4)):
        at, size = draw.randrange(len(content) + 1), draw.randint(1, 16)
        own = [b"", bytes(size), b"\xff" * size, draw.randbytes(size), bytes(content[at : at + size]) * 2]
        piece = draw.choice([*own, b"\x7f" + b"\xff" * 7, b"-1", b"1e999", b"9" * 20, b"[" * size, b'"', b"\\ud800"])
        content[at : at + draw.choice([0, len(piece), size])] = piece
    return bytes(content)


def stated(content: bytes) -> object:
    """Read JSON, whose reader promises ValueError."""
    try:
        return jsonfile.parse(content)
    except ValueError as error:
        raise DlError from error


def saved() -> bytes:
    """Return a small `.npz` file."""
    file = io.BytesIO()
    np.savez(file, x=np.arange(40, dtype=np.float32).reshape(20, 2), y=np.arange(20) % 2)
    return file.getvalue()


def through(name: str, load: Callable[[str], object]) -> Read:
    """Return a reader of bytes that goes through a file."""

    def read(content: bytes) -> object:
        Path(name).write_bytes(content)
        return load(name)

    return read


READERS: dict[str, tuple[bytes, Read]] = {
    "checkpoint": (
        checkpoint.encode({"model/w": torch.arange(6.0), "n": torch.ones(2).long()}, {"clock": {"step": 1}}),
        lambda content: checkpoint.decode(content, "x"),
    ),
    "JSON": (json.dumps({"config": {"a": [1, 2.5, None, "b"], "c": {"d": True}}}).encode(), stated),
    "IDX": (bytes([0, 0, 8, 3]) + bytes([0, 0, 0, 2] * 3) + bytes(8), lambda content: idx.parse(content, 3)),
    "arrays": (saved(), through("x.npz", lambda name: ArrayFile(path=name).load(Path()))),
    "table": (
        b"a,b,y\n" + b'1,"x, z",0\n2.5,,1\n?,u,0\n' * 7,
        through("x.csv", lambda name: TableFile(path=name, target="y").load(Path())),
    ),
}  # fmt: skip


def hammer(seed: bytes, read: Read, count: int) -> int:
    """Read so many mutations; anything but a typed error goes through."""
    draw, refused = random.Random(0), 0
    for _ in range(count):
        content = mutated(seed, draw)
        try:
            read(content)
        except DlError:
            refused += 1
        except BaseException:
            Path("found").write_bytes(content)
            raise
    return refused


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("count", [QUICK, pytest.param(THOROUGH, marks=[pytest.mark.long, pytest.mark.timeout(3600)])])
def test_only_typed_errors(name, count, tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    seed, read = READERS[name]
    verdict = witness(lambda: hammer(seed, read, count), inside, limit=3600)
    assert not verdict.breaches
    assert isinstance(verdict.code, int), verdict.err
    assert verdict.code > count / 10
    assert verdict.megabytes < 256
