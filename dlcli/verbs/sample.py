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
from dlcli.data import decode
from dlcli.data.reader import read
from dlcli.engine.randomness import aside
from dlcli.errors import ConfigError, DataError
from dlcli.figures import save_each, save_grid
from dlcli.log import FOREVER, Log
from dlcli.run import Run, brief
from dlcli.samplers import Picture
from dlcli.text import printable
from dlcli.verbs.common import pick_device, revive, writable

LARGEST = 1024  # pixels at the shorter side of a picture that is restored in one piece
LONGEST = 4 * LARGEST  # pixels at the longer side, then


def sample(run: Run, config: dict[str, Any]) -> torch.Tensor | list[str]:
    """Draw examples, write them into the samples of the run, and return them."""
    choice = pick_device(config["device"])
    model = revive(run, config["checkpoint"], choice.device, config["plugins"])
    sampler = provided(build(config["sampler"]), run.record["config"]["data"])
    if isinstance(sampler, Picture) and config["n"] is not None:
        raise ConfigError(f"n={config['n']}: sampler=picture makes one picture of yours; leave n out")
    wanted = config["n"] or model.usual
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
        if (config["files"] or isinstance(sampler, Picture)) and shown.ndim == 4:
            files.append(folder / files[0].stem)
            with writable(folder):
                save_each(shown, files[-1])
    if isinstance(shown, str) or shown.ndim == 4:
        log = Log(run.path, resumed_at=FOREVER)
        log.pictures("samples", {files[0].stem: shown}, run.at)
        log.close()
    title = f"{len(examples)} sample{'s' if len(examples) > 1 else ''} of {run}:"
    print("\n".join([title, *(f" {brief(file)}" for file in files)]))
    return examples


def provided(sampler: Any, data: dict[str, Any]) -> Any:
    """Return a sampler that holds what is in its file: a text, or a picture with as many channels as the data have.

    Raises DataError for a file that is not there, or of another kind.
    """
    if getattr(sampler, "file", None) is None:
        return sampler
    path, notes = Path(sampler.file).expanduser(), list[str]()
    if not path.is_file():
        fault = "a folder; name a file" if path.is_dir() else "no such file"
        raise DataError(f"sampler.file={printable(path)}: {fault}")
    if isinstance(sampler, Picture):
        return replace(sampler, pixels=picture(path, data.get("channels") or 3))
    text = read(path, notes)
    for note in notes:
        print(note)
    return replace(sampler, prompt=text, file=None)


def picture(path: Path, channels: int) -> torch.Tensor:
    """Return the pixels of a file in [0, 1], (1, C, H, W), made smaller if need be. Raises DataError."""
    try:
        shorter, longer = sorted(decode.size(str(path)))
        if longer * min(1, LARGEST / shorter) > LONGEST:
            raise decode.Unreadable(f"{longer:,} by {shorter:,} pixels are too long for one piece: cut it into parts")
        if shorter > LARGEST:
            print(
                f"note: {printable(path)} is made smaller, from {shorter:,} to {LARGEST:,} pixels at the shorter side"
            )
        pixels = decode.decode_whole(str(path), LARGEST, channels)
    except decode.Unreadable as error:
        raise DataError(f"sampler.file={printable(path)}: cannot be read as a picture: {error}") from error
    return torch.from_numpy(pixels).float()[None] / 255


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
