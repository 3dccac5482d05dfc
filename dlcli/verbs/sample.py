"""`dl sample`: new examples from a generative run; the same seed gives the same samples.

Files are named for sampler and seed. Samples of the same seed but other options get a number behind that name, so that
none of the former ones is lost; the same command once more writes the same file.
"""

import sys
from dataclasses import replace
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from dlcli import disk
from dlcli.config.build import build
from dlcli.data.reader import read
from dlcli.engine.randomness import aside
from dlcli.errors import ConfigError
from dlcli.figures import save_each, save_grid
from dlcli.log import FOREVER, Log
from dlcli.run import Run, brief
from dlcli.text import printable
from dlcli.verbs.common import pick_device, revive, writable


def sample(run: Run, config: dict[str, Any]) -> torch.Tensor | list[str]:
    """Draw examples, write them into the samples of the run, and return them."""
    choice = pick_device(config["device"])
    model = revive(run, config["checkpoint"], choice.device, config["plugins"])
    sampler, wanted = prompted(build(config["sampler"])), config["n"] or model.usual
    for line in model.remarks(sampler) if hasattr(model, "remarks") else ():
        print(line)
    with torch.no_grad(), aside(config["seed"]):
        live = (
            wanted == 1 and sys.stdout.isatty() and hasattr(model, "stream") and getattr(sampler, "beam", None) is None
        )
        examples = told(model.stream(sampler)) if live else model.sample(wanted, sampler)
    folder = Path(config["out"]) if config["out"] else run / "samples"
    name = f"{type(sampler).__name__.lower()}-seed{config['seed']}"
    if isinstance(examples, list):
        files = [texts(examples, folder, name, live)]
        shown: Any = "\n\n---\n\n".join(examples)
    else:
        files, shown = tensors(examples.cpu(), folder, name, config["columns"]), examples.cpu()
        if config["files"] and shown.ndim == 4:
            files.append(folder / files[0].stem)
            with writable(folder):
                save_each(shown, files[-1])
    if isinstance(shown, str) or shown.ndim == 4:
        log = Log(run.path, resumed_at=FOREVER)
        log.pictures("samples", {files[0].stem: shown}, run.at)
        log.close()
    print("\n".join([f"{len(examples)} samples of {run}:", *(f" {brief(file)}" for file in files)]))
    return examples


def prompted(sampler: Any) -> Any:
    """Return a sampler whose prompt is what its file holds. Raises ConfigError, and DataError for what is no text."""
    if getattr(sampler, "file", None) is None:
        return sampler
    path, notes = Path(sampler.file).expanduser(), list[str]()
    if not path.is_file():
        raise ConfigError(f"sampler.file={printable(path)}: no such file")
    text = read(path, notes)
    for note in notes:
        print(note)
    return replace(sampler, prompt=text, file=None)


def tensors(examples: torch.Tensor, folder: Path, name: str, columns: int) -> list[Path]:
    """Write examples as a file of tensors and, if they are pictures, as one grid."""
    contents = {".safetensors": save({"samples": examples.contiguous()})}
    if examples.ndim == 4:
        with BytesIO() as grid:
            save_grid(examples, grid, columns)
            contents[".png"] = grid.getvalue()
    return put(folder, name, contents)


def texts(examples: list[str], folder: Path, name: str, told: bool) -> Path:
    """Write texts into one file and, unless they were told, on the terminal: one a line, or between rules."""
    rule = "\n" if all("\n" not in text for text in examples) else "\n\n---\n\n"
    whole = rule.join(examples) + "\n"
    (file,) = put(folder, name, {".txt": whole.encode()})
    if not told:
        print(safe(whole))
    return file


def put(folder: Path, name: str, contents: dict[str, bytes]) -> list[Path]:
    """Write contents by suffix, under the first name whose files are not there or hold the same already."""
    with writable(folder):
        for number in count(1):
            numbered = name if number == 1 else f"{name}-{number}"
            files = {folder / f"{numbered}{suffix}": content for suffix, content in contents.items()}
            if all(not path.exists() or disk.read(path) == content for path, content in files.items()):
                break
        for path, content in files.items():
            disk.write(path, content)
    return list(files)


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
