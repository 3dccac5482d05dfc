"""`dl sample`: new examples from a generative run; the same seed gives the same samples."""

import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from dlcli.config.build import build
from dlcli.engine.randomness import aside
from dlcli.figures import save_grid
from dlcli.log import FOREVER, Log
from dlcli.run import Run, brief
from dlcli.text import printable
from dlcli.verbs.common import pick_device, revive, writable


def sample(run: Run, config: dict[str, Any]) -> torch.Tensor | list[str]:
    """Draw examples, write them into the samples of the run, and return them."""
    choice = pick_device(config["device"])
    model = revive(run, config["checkpoint"], choice.device, config["plugins"])
    sampler, count = build(config["sampler"]), config["n"] or model.usual
    for line in model.remarks(sampler) if hasattr(model, "remarks") else ():
        print(line)
    with torch.no_grad(), aside(config["seed"]):
        live = (
            count == 1 and sys.stdout.isatty() and hasattr(model, "stream") and getattr(sampler, "beam", None) is None
        )
        examples = told(model.stream(sampler)) if live else model.sample(count, sampler)
    folder = Path(config["out"]) if config["out"] else run / "samples"
    name = f"{type(sampler).__name__.lower()}-seed{config['seed']}"
    if isinstance(examples, list):
        files = [texts(examples, folder, name, live)]
        shown: Any = "\n\n---\n\n".join(examples)
    else:
        files, shown = tensors(examples.cpu(), folder, name, config["columns"]), examples.cpu()
    if isinstance(shown, str) or shown.ndim == 4:
        log = Log(run.path, resumed_at=FOREVER)
        log.pictures("samples", {name: shown}, run.at)
        log.close()
    print(f"{len(examples)} samples of {run}: {' '.join(brief(file) for file in files)}")
    return examples


def tensors(examples: torch.Tensor, folder: Path, name: str, columns: int) -> list[Path]:
    """Write examples as a file of tensors and, if they are pictures, as one grid."""
    files = [folder / f"{name}.safetensors"]
    with writable(folder):
        save_file({"samples": examples.contiguous()}, files[0])
    if examples.ndim == 4:
        files.append(folder / f"{name}.png")
        save_grid(examples, files[1], columns)
    return files


def texts(examples: list[str], folder: Path, name: str, told: bool) -> Path:
    """Write texts into one file and, unless they were told, on the terminal: one a line, or between rules."""
    rule = "\n" if all("\n" not in text for text in examples) else "\n\n---\n\n"
    whole = rule.join(examples) + "\n"
    with writable(folder):
        (folder / f"{name}.txt").write_text(whole, encoding="utf-8", newline="\n")
    if not told:
        print(safe(whole))
    return folder / f"{name}.txt"


def told(pieces: Any) -> list[str]:
    """Print a text as it is written, and return it."""
    whole = []
    for piece in pieces:
        whole.append(piece)
        print(safe(piece), end="", flush=True)
    print("\n")
    return ["".join(whole)]


def safe(text: str) -> str:
    """Return text without terminal codes, its lines as they are."""
    return "\n".join(map(printable, text.split("\n")))
