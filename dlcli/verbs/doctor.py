"""`dl doctor`: is this installation sound? Offline, in seconds."""

import importlib.metadata
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from dlcli.config import paths
from dlcli.errors import ConfigError

PACKAGES = (
    "torch",
    "typer",
    "rich",
    "hydra-core",
    "omegaconf",
    "tensorboard",
    "safetensors",
    "numpy",
    "scikit-learn",
    "matplotlib",
)


def doctor() -> None:
    """Run every check and print a line for each. Raises ConfigError if one fails."""
    failed = []
    for check in (python, packages, configs, device, arithmetic, learning, outputs, data):
        began = time.monotonic()
        try:
            good, text = True, check()
        except Exception as error:  # a check that dies has found something
            good, text = False, f"{type(error).__name__}: {error}"
            failed.append(check.__name__)
        print(f"{'ok  ' if good else 'FAIL'} {check.__name__:11} {text}  ({time.monotonic() - began:.1f} s)")
    if failed:
        raise ConfigError(f"{len(failed)} checks failed: {', '.join(failed)}")
    print("everything works; begin with `dl train model=vae`")


def python() -> str:
    """Python's version."""
    return f"{sys.version.split()[0]} at {sys.executable}"


def packages() -> str:
    """The packages that `dl` stands on."""
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)


def configs() -> str:
    """The packaged configs."""
    return f"{len(paths.options('model'))} models, {len(paths.options('data'))} data sets in {paths.packaged()}"


def device() -> str:
    """The device that `auto` means, and what a CPU gains from half precision."""
    import torch

    from dlcli.engine.device import choose

    choice = choose("auto")
    text = f"{choice.device} ({choice.reason})"
    if choice.device.type != "cpu":
        return text
    able: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # not in the oldest torch
    pays = able.get("avx512_bf16") or able.get("amx_bf16")
    return f"{text}; {'it computes bf16: try precision=bf16 on wide nets' if pays else 'leave precision=fp32'}"


def arithmetic() -> str:
    """A gradient by autograd against its closed form."""
    import torch

    w, x = torch.tensor([1.0, -2.0], requires_grad=True), torch.tensor([0.5, 2.0])
    (gradient,) = torch.autograd.grad((w * x).sum().square(), w)
    if not torch.allclose(gradient, 2 * (w * x).sum().detach() * x):
        raise RuntimeError("autograd gives a wrong gradient")
    return "autograd agrees with the closed form"


def learning() -> str:
    """A net must learn XOR by heart, on the device that `auto` means."""
    import torch

    from dlcli.engine.device import choose

    torch.manual_seed(0)
    device = choose("auto").device
    x, y = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]], device=device), torch.tensor([0.0, 1, 1, 0], device=device)
    net = torch.nn.Sequential(torch.nn.Linear(2, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1)).to(device)
    optimizer = torch.optim.Adam(net.parameters(), 0.05)
    for _ in range(300):
        optimizer.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(net(x)[:, 0], y)
        loss.backward()
        optimizer.step()
    if loss.item() > 0.1:
        raise RuntimeError(f"XOR is not learned: loss {loss.item():.2f}")
    return f"XOR learned on {device}, loss {loss.item():.4f}"


def outputs() -> str:
    """The place where runs go."""
    with tempfile.NamedTemporaryFile(dir=Path.cwd()):
        return f"{Path.cwd() / 'outputs'} can be written; {shutil.disk_usage('.').free / 2**30:.0f} GiB free"


def data() -> str:
    """Where data sets lie."""
    folder = Path(os.environ.get("DL_DATA", "~/.cache/dl")).expanduser()
    found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    return f"{folder}: {', '.join(found) or 'empty; embedded sets need nothing'}"
