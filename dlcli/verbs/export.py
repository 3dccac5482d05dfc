"""`dl export`: the nets of a run for other programs; each file is loaded again and compared before it is kept.

    safetensors    all weights, and the config from which `dlcli` builds the model
    torch          a program of each net (torch.export), which needs torch alone
    onnx           a program of each net, which needs ONNX Runtime alone

What is compared are the outputs on examples of the validation split; low-rank changes are part of the weights by now.
"""

import importlib.util
import json
import logging
import os
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from dlcli.config.build import build
from dlcli.data.serving import serve
from dlcli.engine import checkpoint
from dlcli.engine.randomness import aside
from dlcli.errors import ConfigError, DlError
from dlcli.model import Model
from dlcli.run import Run, brief
from dlcli.verbs.card import card
from dlcli.verbs.common import load_data, revive, split_of, writable

EXAMPLES = 64  # in the comparison
FEW = 3  # examples in a second one: programs must take batches of any size
TOLERANCE = 1e-4  # times the largest output, where that is above one
CPU = torch.device("cpu")


class Call(NamedTuple):
    """A net, what it was given, and what it answered."""

    net: nn.Module
    inputs: tuple[Any, ...]
    outputs: list[Tensor]


Again = Callable[..., list[Tensor]]  # a net that was loaded again


def export(run: Run, config: dict[str, Any]) -> Path:
    """Write the nets of a run and a model card into a folder, and return it. Raises ConfigError."""
    kind = config["format"]
    require(kind)
    record = run.record
    model = revive(run, config["checkpoint"], CPU, config["plugins"])
    splits = load_data(record["config"]["data"], config["paths"]["data"], config["plugins"])
    examples = serve(split_of(splits, "valid", record), size=EXAMPLES, shuffle=False)
    with aside(config["seed"]):
        calls = observe(model, examples.take(torch.arange(min(EXAMPLES, examples.examples))))
    folder = Path(config["out"]) if config["out"] else run / "export" / kind
    files = (
        ["model.safetensors", "config.json"] if kind == "safetensors" else [f"{net}{ENDINGS[kind]}" for net in calls]
    )
    refuse(folder, [*files, "README.md"], config["force"])
    with writable(folder), TemporaryDirectory(dir=folder, prefix=".tmp-") as name:
        place = Path(name)
        again = WRITERS[kind](model, calls, place, record["config"]["model"], config["plugins"])
        gaps = {net: gap(call, again[net], net) for net, call in calls.items()}
        (place / "README.md").write_text(card(run, record, config, calls, files), encoding="utf-8")
        for file in sorted(path.name for path in place.iterdir()):
            os.replace(place / file, folder / file)
    tell(folder, files, gaps)
    return folder


def require(kind: str) -> None:
    """Raise ConfigError if a format needs packages that are not there."""
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]
    if kind == "onnx" and missing:
        raise ConfigError(
            f"format=onnx needs {', '.join(missing)}: pip install 'dlcli[export]'; format=torch does without"
        )


def observe(model: Any, batch: Any) -> dict[str, Call]:
    """Return what a model answers to a batch or, where it has no answer, what each of its nets answers in between."""
    if type(model).forward is not Model.forward:
        with torch.no_grad():
            return {"model": Call(model, (batch.x,), tree_leaves(model(batch.x)))}
    calls: dict[str, Call] = {}

    def note(name: str) -> Callable[..., None]:
        return lambda net, inputs, outputs: calls.setdefault(name, Call(net, inputs, tree_leaves(outputs))) and None

    handles = [net.register_forward_hook(note(name)) for name, net in model.named_children()]
    with torch.no_grad():
        model.measure(batch)
    for handle in handles:
        handle.remove()
    if not calls:
        raise ConfigError(f"{type(model).__name__} calls no net when it measures, so there is nothing to export")
    return calls


def refuse(folder: Path, files: list[str], force: bool) -> None:
    """Raise ConfigError if files are there already and may not be written over."""
    there = [file for file in files if (folder / file).exists()]
    if there and not force:
        raise ConfigError(f"{brief(folder.absolute())}: {', '.join(there)} there already; force=true writes over them")


def weights(model: nn.Module, calls: dict[str, Call], place: Path, node: Any, plugins: list[str]) -> dict[str, Again]:
    """Write all weights and the config of the model, and build it again from both."""
    tensors = {name: value.clone(memory_format=torch.contiguous_format) for name, value in model.state_dict().items()}
    (place / "model.safetensors").write_bytes(save(tensors, {"format": "pt"}))
    (place / "config.json").write_text(json.dumps(node, indent=1) + "\n", encoding="utf-8")
    fresh = build(json.loads((place / "config.json").read_text(encoding="utf-8")), plugins).eval()
    checkpoint.apply(fresh, load_file(place / "model.safetensors"), place)
    return {name: fresh if call.net is model else getattr(fresh, name) for name, call in calls.items()}


def programs(model: nn.Module, calls: dict[str, Call], place: Path, *_: Any) -> dict[str, Again]:
    """Write a program of each net for torch, and load them again."""
    for name, call in calls.items():
        torch.export.save(traced(name, call), place / f"{name}.pt2")
    return {name: torch.export.load(place / f"{name}.pt2").module() for name in calls}


def graphs(model: nn.Module, calls: dict[str, Call], place: Path, *_: Any) -> dict[str, Again]:
    """Write a graph of each net for ONNX Runtime, and load them again."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it misses torchvision, which nobody needs here
    for name, call in calls.items():
        program = traced(name, call)
        with warnings.catch_warnings(action="ignore"), redirect_stdout(StringIO()):  # the converter talks about itself
            try:
                made: Any = torch.onnx.export(program, dynamo=True, verbose=False)
            except torch.onnx.OnnxExporterError as error:
                raise unwritable(name, error) from error
            made.save(place / f"{name}.onnx")
    return {name: session(place / f"{name}.onnx") for name in calls}


def session(path: Path) -> Again:
    """Load a graph into ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    loaded = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [given.name for given in loaded.get_inputs()]

    def run(*inputs: Tensor) -> list[Tensor]:
        arrays = {name: value.numpy() for name, value in zip(names, inputs, strict=True)}
        return [torch.from_numpy(value) for value in loaded.run(None, arrays)]

    return run


def traced(name: str, call: Call) -> Any:
    """Return the program of a net, for batches of any size. Raises ConfigError if there is none."""
    free = tuple({0: torch.export.Dim.DYNAMIC} if isinstance(value, Tensor) else None for value in call.inputs)
    try:
        with torch.no_grad():
            return torch.export.export(call.net, call.inputs, dynamic_shapes=free)
    except Exception as error:  # torch names no class for what cannot be traced
        raise unwritable(name, error) from error


def unwritable(name: str, error: Exception) -> ConfigError:
    """Return the error for a net of which no program can be made."""
    fault = str(error).strip().partition("\n")[0] or type(error).__name__
    return ConfigError(f"{name}: cannot be traced ({fault}); format=safetensors works for every net")


def gap(call: Call, again: Again, name: str) -> float:
    """Return the largest difference between a net and what was loaded again. Raises DlError if it is too large."""
    few = tuple(value[:FEW] if isinstance(value, Tensor) else value for value in call.inputs)
    with torch.no_grad():
        pairs = [(call.outputs, again(*call.inputs)), (tree_leaves(call.net(*few)), again(*few))]
    largest = 0.0
    for ours, theirs in ((a, b) for mine, yours in pairs for a, b in zip(mine, tree_leaves(yours), strict=True)):
        found = (ours - theirs).abs().max().item()
        if not found <= TOLERANCE * max(1.0, ours.abs().max().item()):
            raise DlError(f"{name}: the exported net differs by {found:.2g}, more than {TOLERANCE:g}; nothing was kept")
        largest = max(largest, found)
    return largest


def tell(folder: Path, files: list[str], gaps: dict[str, float]) -> None:
    """Print where the files are, and how well they agree."""
    sizes = [f"{file} ({(folder / file).stat().st_size / 1e6:.3g} MB)" for file in files]
    print(f"export   {brief(folder.absolute())}: {', '.join([*sizes, 'README.md'])}")
    for name, value in gaps.items():
        print(f"checked  {name}: loaded again, outputs agree to {value:.1g} on validation examples")


ENDINGS = {"torch": ".pt2", "onnx": ".onnx"}
WRITERS: dict[str, Callable[..., dict[str, Again]]] = {"safetensors": weights, "torch": programs, "onnx": graphs}
