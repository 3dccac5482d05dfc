"""What the verbs share: data, device and model of a config."""

import hashlib
import json
import platform
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from dlcli import __version__
from dlcli.config.build import build
from dlcli.data.overlap import overlap
from dlcli.data.splits import check, mixed
from dlcli.data.without import leave_out
from dlcli.engine import checkpoint
from dlcli.engine.device import Choice, choose
from dlcli.engine.lora import merged
from dlcli.engine.store import Store
from dlcli.errors import CheckpointError, DataError, RunError, StorageError
from dlcli.model import Model
from dlcli.run import Run

VOCABULARIES = ("vocabulary", "source_vocabulary")


def plain(config: Any) -> dict[str, Any]:
    """Return a composed config as plain data, every interpolation resolved."""
    from omegaconf import OmegaConf

    return OmegaConf.to_container(config, resolve=True)  # type: ignore[return-value]


def load_data(config: dict[str, Any], root: str, plugins: Iterable[str] = ()) -> Any:
    """Return the splits that a plain data node names. Raises DataError."""
    if not isinstance(config.get("source"), dict):
        raise DataError("the config names no source of data; choose one with data=NAME (`dl ls data`)")
    known = {name: config[name] for name in VOCABULARIES if config.get(name)}  # a run has learned them
    source = config["source"] | {name: known[name] for name in known if name in config["source"]}
    splits = build(source, plugins).load(Path(root).expanduser())
    check(splits, splits.facts.get("classes"))
    if "path" in config["source"]:  # files of the user's own may change; all others are checked where they are read
        splits.facts["sha256"] = fingerprint(splits)
        splits.facts["notes"] = [*splits.facts.get("notes", ()), *overlap(splits)]
    for note in splits.facts.get("notes", ()):
        print(note)
    return splits._replace(valid=mixed(splits.valid), test=mixed(splits.test))  # training is shuffled as it is


def fingerprint(splits: Any) -> str:
    """Return the SHA-256 of all examples of all splits."""
    total = hashlib.sha256()
    for column in (column for split in (splits.train, splits.valid, splits.test) for column in split):
        total.update(column.contiguous().flatten().view(torch.uint8).numpy().data)
    return total.hexdigest()


def stated(facts: dict[str, Any]) -> dict[str, Any]:
    """Return facts as a config can hold them."""
    return json.loads(
        json.dumps(facts, default=lambda value: value.tolist() if hasattr(value, "tolist") else str(value))
    )


def pick_device(node: dict[str, Any]) -> Choice:
    """Return the device that a device node asks for."""
    return choose(node["name"], node["index"], node["threads"])


def revive(run: Run, which: str, device: torch.device, plugins: Iterable[str] = ()) -> Any:
    """Return the trained model of a run, ready to be looked at; needs nothing but the run folder."""
    config = run.record["config"]["model"]
    weights = trained(run, which)
    if not weights:
        raise CheckpointError(f"{run}: nothing was validated yet; take the last weights with checkpoint=last")
    with torch.device("meta"):  # shapes without memory: the config may ask for more than there is
        model = build(config, plugins)
    if not isinstance(model, Model):
        raise RunError(f"{run}/run.json: damaged (its model is a {type(model).__name__}); the run cannot be used")
    checkpoint.compare(model, weights, run)
    model = build(config, plugins)
    checkpoint.apply(model, weights, run)
    return model.to(device).eval()


def trained(run: Run, which: str) -> dict[str, torch.Tensor]:
    """Return the best or last weights of a run, under the names of its net without LoRA; empty if there are none."""
    tensors, _ = Store(run / "checkpoints").newest()
    return merged(checkpoint.part(tensors, "best" if which == "best" else "model"))


def split_of(splits: Any, name: str, record: dict[str, Any]) -> Any:
    """Return one split of a data set. Raises DataError if its facts differ from those that the run was trained with."""
    require_same(splits.facts, record.get("config", {}).get("data", {}))
    without = record.get("config", {}).get("without")
    return mixed(getattr(leave_out(splits, without if isinstance(without, list) else []), name))


def require_same(facts: dict[str, Any], known: dict[str, Any]) -> None:
    """Raise DataError if facts of a data set differ from those that are known of it."""
    for fact in ("features", "classes", "labels", "targets", "names", *VOCABULARIES, "sha256"):
        if known.get(fact) is not None and facts.get(fact, known[fact]) != known[fact]:
            if "vocabulary" in fact:
                raise DataError("the data has another vocabulary than the run was trained with; use the same data")
            raise DataError(
                f"the data has {fact}={facts[fact]}, the run was trained with {known[fact]}; use the same data"
            )


def environment() -> dict[str, Any]:
    """Return versions, machine and git state, so that a result can be traced to the code that made it."""
    versions = {"dl": __version__, "python": platform.python_version(), "torch": torch.__version__}
    machine = {"threads": torch.get_num_threads(), "platform": platform.platform()}
    return {"versions": versions, "machine": machine, "command": ["dl", *sys.argv[1:]], "git": git()}


def git() -> dict[str, str]:
    """Return commit and diff of the code, where it lies in a git checkout."""
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return {}
    try:
        ask = [
            subprocess.run(["git", "-C", str(here), *words], capture_output=True, text=True, timeout=5)
            for words in (["rev-parse", "HEAD"], ["diff", "HEAD"])
        ]
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return {"commit": ask[0].stdout.strip(), "diff": ask[1].stdout[:100_000]}


@contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Make a folder and write into it. Raises StorageError if that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise StorageError(f"{folder}: cannot be written ({error.strerror}); choose another with out=DIR") from error
