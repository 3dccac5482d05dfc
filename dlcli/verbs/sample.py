"""`dl sample`: new examples from a generative run; the same seed gives the same samples."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from dlcli.config.build import build
from dlcli.engine.randomness import aside
from dlcli.figures import save_grid
from dlcli.log import FOREVER, Log
from dlcli.run import Run, brief
from dlcli.verbs.common import pick_device, revive, writable


def sample(run: Run, config: dict[str, Any]) -> torch.Tensor:
    """Draw examples, write them as one grid and as tensors, and return them."""
    choice = pick_device(config["device"])
    model = revive(run, config["checkpoint"], choice.device, config["plugins"])
    sampler = build(config["sampler"])
    with torch.no_grad(), aside(config["seed"]):
        examples = model.sample(config["n"], sampler).cpu()
    folder = Path(config["out"]) if config["out"] else run / "samples"
    name = f"{type(sampler).__name__.lower()}-seed{config['seed']}"
    with writable(folder):
        save_file({"samples": examples.contiguous()}, folder / f"{name}.safetensors")
    files = [folder / f"{name}.safetensors"]
    if examples.ndim == 4:
        save_grid(examples, folder / f"{name}.png", config["columns"])
        files.append(folder / f"{name}.png")
        log = Log(run.path, resumed_at=FOREVER)
        log.pictures("samples", {name: examples}, run.status.get("at", 0))
        log.close()
    print(f"{len(examples)} samples of {run}: {' '.join(brief(file) for file in files)}")
    return examples
