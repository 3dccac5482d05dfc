"""Thousands of whole checkpoints that no training has left, signed again: refused, or continued without a fault."""

import copy
import functools
import json
import random

import pytest
import torch
from torch import nn
from witness import witness

from dlcli.batch import Table
from dlcli.data.loader import Resident
from dlcli.engine import state
from dlcli.engine.loop import Engine, Settings
from dlcli.engine.precision import Precision
from dlcli.errors import DlError
from dlcli.models.regressor import Regressor
from dlcli.schedules import Plateau

QUICK, THOROUGH = 200, 20_000
NUMBERS = (-1, 0, 1, 2.5, -2.5, 1e400, float("nan"), 10**39, 2**62, 1e-320)
VALUES = (
    *NUMBERS,
    None,
    [],
    {},
    "x",
    "",
    True,
    False,
    "1",
    [1],
    [[1]],
    {"a": 1},
    {"0": 2},
    [None],
    "\x1b[31m",
    [1e400],
)
KEYS = ("x", "step", "model", "0", "lr")


def fresh():
    """Return an engine whose steps are fused, with its data."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))
    model = Regressor(net=net, mean=[0.0], std=[1.0])
    adam = functools.partial(torch.optim.Adam, lr=1e-2, fused=True)
    settings = Settings(epochs=4, ema=0.9, every=1000)
    precision = Precision(torch.device("cpu"), "fp32", clip=1.0)
    engine = Engine(model, adam, settings=settings, precision=precision, schedule=Plateau(patience=1))
    return engine, Resident(Table(torch.randn(24, 4), torch.randn(24, 1)), size=8)


def spots(node, path=()):
    """Yield the path of everything in plain data, of long lists only the first."""
    if path:
        yield path
    for key in node if isinstance(node, dict) else range(min(4, len(node))) if isinstance(node, list) else ():
        yield from spots(node[key], (*path, key))


def spoil_plain(plain, path, draw):
    """Take a value away, add one, or replace one."""
    *above, last = path
    node = functools.reduce(lambda found, key: found[key], above, plain)
    chance = draw.random()
    if isinstance(node, dict) and chance < 0.15:
        del node[last]
    elif isinstance(node, dict) and chance < 0.25:
        node[draw.choice(KEYS)] = draw.choice(VALUES)
    else:
        node[last] = draw.choice(VALUES)


def spoil_tensor(tensors, draw):
    """Take a tensor away, or replace it by one of another size, type or value."""
    name = draw.choice(sorted(tensors))
    value = tensors.pop(name)
    number = draw.choice([-1.0, 0.0, 1e38, float("nan"), float("inf")]) if value.is_floating_point() else 255
    others = [value.flatten()[:1], value[None], value.double(), value.to(torch.int8), torch.zeros(0)]
    changed = draw.choice([None, *others, torch.full_like(value, number)])
    if changed is not None:
        tensors[name] = changed


def hammer(count):
    """Restore so many spoilt states, and go on where that is allowed; anything but a typed error goes through."""
    draw, refused = random.Random(0), 0
    engine, data = fresh()
    engine.fit(data, data)
    tensors, plain = state.capture(engine)
    plain = json.loads(json.dumps(plain))
    paths = [path for path in spots(plain) if path[0] != "random" or draw.random() < 0.1]
    for _ in range(count):
        own, others = copy.deepcopy(plain), dict(tensors)
        spoil_plain(own, draw.choice(paths), draw) if draw.random() < 0.7 else spoil_tensor(others, draw)
        own["pieces"] = own.get("pieces") and 1  # as many as examples is a mistake that anybody may make
        engine, data = fresh()
        try:
            state.restore(engine, others, own, "run")
            engine.settings = Settings(epochs=6, ema=0.9, every=1000)
            engine.fit(data, data)
        except DlError:
            refused += 1
    return refused


@pytest.mark.parametrize("count", [QUICK, pytest.param(THOROUGH, marks=[pytest.mark.long, pytest.mark.timeout(3600)])])
def test_no_state_of_a_stranger_is_a_fault_of_ours(count, tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    hammer(1)  # so that nothing is left to import
    verdict = witness(lambda: hammer(count), inside, limit=600)
    assert not verdict.breaches
    assert isinstance(verdict.code, int), (verdict.code, verdict.err)
    print(f"{count} states, {verdict.code} refused, {verdict.seconds:.0f} s of the processor")
    assert count / 4 < verdict.code < count
    assert verdict.megabytes < 256
