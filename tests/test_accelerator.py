"""Every family on a device that is not the CPU, as far as that can be seen without one: tests/accelerator.py."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_families import FAMILIES, QUICK

HERE = Path(__file__).resolve().parent
SCRIPT = str(HERE / "accelerator.py")
PARTS = 6  # processes, so that the suite can share them out


def pretend(*words: str) -> str:
    """Run tests/accelerator.py, or other code beside it, in a process of its own; return what it printed."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(HERE), str(HERE.parent))), "DL_OFFLINE": "1"}
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("part", range(PARTS))
def test_no_tensor_of_a_family_is_left_behind_on_the_cpu(part):
    chosen = FAMILIES[part::PARTS]
    smaller = {family: [w for w in QUICK.get(family, ()) if not w.startswith("limit")] for family in chosen}
    words = ["+".join([f"model={name}", f"name={name}", *words]) for name, words in smaller.items()]
    faults = json.loads(pretend(SCRIPT, *words).splitlines()[-1])
    assert not faults, "\n".join(trace for _, trace in faults.values())


def test_three_verbs_work_on_another_device():
    trained = pretend(SCRIPT, "--", "train", "model=lenet", "max_steps=4", "limit_valid=0.2", "ema=0.9", "clip=1.0")
    assert "device   pretend" in trained
    (run,) = (str(path) for path in Path("outputs").glob("*/*"))
    assert "accuracy" in pretend(SCRIPT, "--", "eval", run, "see=[]", "points=0", "mistakes=4")
    assert "budget and box verified" in pretend(SCRIPT, "--", "attack", run, "attack=fgsm", "n=4", "checks=4")


FAULTS = """
import torch
from accelerator import Machine, install

install()
told = []
with Machine():
    far, near, first = torch.ones(3, device="pretend"), torch.ones(3), torch.zeros(1, dtype=torch.long)
    acts = {
        "two devices": lambda: far + near,
        "index": lambda: near[first.to("pretend")],
        "stream": lambda: torch.rand(3, device="pretend", generator=torch.Generator()),
        "numpy": lambda: far.numpy(),
        "number": lambda: far + torch.tensor(1.0),
        "near index": lambda: far[first],
        "home": lambda: far.cpu().numpy(),
    }
    for name, act in acts.items():
        try:
            act()
        except (RuntimeError, TypeError):
            told.append(name)
    weight = torch.nn.Parameter(far * 2)
    (weight * far).square().sum().backward()
    assert weight.grad.device.type == "pretend"
    assert weight.grad.cpu().tolist() == [4.0, 4.0, 4.0]
    assert far.add_(1) is far
    assert far.tolist() == [2.0, 2.0, 2.0]
print(*told, sep=", ")
"""


LIFTED = """
import torch
from accelerator import Half

told = []
with torch.autocast("cpu", torch.bfloat16), Half():
    square = torch.eye(3) @ torch.eye(3)
    for act in (torch.linalg.eigh, torch.linalg.inv, torch.fft.fft, torch.linalg.vector_norm, torch.exp):
        try:
            act(square)
        except RuntimeError:
            told.append(act.__name__)
    torch.linalg.eigh(square.float())
print(*told, sep=", ")
"""


def test_what_only_the_autocast_of_a_cpu_lifts_is_refused():
    assert pretend("-c", LIFTED).strip() == "linalg_eigh, linalg_inv, fft_fft"


def test_the_device_refuses_what_a_real_one_would():
    assert pretend("-c", FAULTS).strip() == "two devices, index, stream, numpy"
