"""Adversarial pictures, batch by batch: what is finished survives a kill, and is not made again."""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from dlcli import disk, jsonfile
from dlcli.attacks.ensemble import AutoAttack
from dlcli.attacks.threat import Attack
from dlcli.attacks.victim import Counted, fingerprint
from dlcli.config.build import build
from dlcli.engine.randomness import aside
from dlcli.errors import RefusedError
from dlcli.lock import held
from dlcli.verbs.common import writable
from dlcli.verbs.victim import Stage

PARTS = "*.safetensors"


class Made(NamedTuple):
    """Pictures before and after, on the CPU, and what they cost."""

    clean: Tensor
    adversarial: Tensor
    labels: Tensor
    part: Tensor  # (N,) which attack of an ensemble won an example; -1: none
    cost: Tensor  # (N,) pictures that the source was asked about, (N,) those whose gradient was asked for


def method_of(stage: Stage, eps: float | None) -> tuple[Attack, dict[str, int]]:
    """Return the attack of the config with one size, ready to be called, and what it cost to learn."""
    method: Attack = build(stage.config["attack"] | {"eps": eps})
    stop = stage.config["stop"] and stage.through is None  # a win over the source says little about the victim
    source = Counted(stage.source)
    with aside(stage.config["seed"]):
        method = replace(method, stop=stop).fitted(source, stage.others.epoch(0))
    return method, {"queries": source.queries, "gradients": source.gradients}


def identity(stage: Stage, eps: float | None) -> str:
    """Return a SHA-256 of everything that the pictures depend on."""
    config = {key: stage.config[key] for key in ("n", "split", "batch", "stop", "seed", "substitute", "transfer_from")}
    weights = [fingerprint(net) for net in (stage.victim, *sources(stage))]
    whole = jsonfile.encode({"attack": stage.config["attack"] | {"eps": eps}, "config": config, "weights": weights})
    return hashlib.sha256(whole).hexdigest()


def folder_of(stage: Stage, key: str) -> Path:
    """Return where the parts of the attack with an identity are kept."""
    out = Path(stage.config["out"]) if stage.config["out"] else stage.run / "attacks"
    return out / f".parts-{key[:16]}"


def sources(stage: Stage) -> list[Any]:
    """Return the nets whose gradients are followed."""
    return list(getattr(stage.source, "classifiers", [stage.source]))


@contextmanager
def parts(folders: Iterable[Path]) -> Iterator[None]:
    """Hold the folders of parts until all that is in them is in the results, then remove them.

    A failure leaves what was made to the next start. Raises RunError while another process makes the same attack.
    """
    done = False
    with ExitStack() as stack:
        for folder in (apart := dict.fromkeys(folders)):
            if folder.is_symlink():
                raise RefusedError(f"{folder}: a link, which may lead out of the run; put the real thing there")
            with writable(folder):
                stack.enter_context(held(folder))
        try:
            yield
            done = True
        finally:
            for folder in apart:
                if done or not any(folder.glob(PARTS)):
                    clear(folder)


def make(stage: Stage, method: Attack, folder: Path) -> Made:
    """Return clean and adversarial pictures, those of batches that are already there as they are.

    The caller holds the lock of the folder.
    """
    rows, first, found = [], 0, 0
    with writable(folder):
        for number, batch in enumerate(stage.examples.epoch(0)):
            path = folder / f"{number:06}.safetensors"
            stored = there(path, batch.x)
            if stored is None:
                stored = compute(stage, method, batch, first)
                disk.write(path, save(stored))
            else:
                found += 1
            rows.append((batch.x.cpu(), stored["adversarial"], batch.y.cpu(), stored["part"], stored["cost"]))
            first += batch.size
    if found:
        print(f"{found} of {len(rows)} batches were there from before")
    return Made(*(torch.cat(column) for column in zip(*rows, strict=True)))


def compute(stage: Stage, method: Attack, batch: Any, first: int) -> dict[str, Tensor]:
    """Attack a batch whose first example has a number."""
    index = torch.arange(first, first + batch.size, device=batch.x.device)
    source = Counted(stage.source)
    with aside(stage.config["seed"] + first):
        if isinstance(method, AutoAttack):
            found, part = method.tally(source, batch.x, batch.y, index)
        else:
            found, part = method(source, batch.x, batch.y, index), torch.full_like(batch.y, -1)
    cost = torch.tensor([[source.queries, source.gradients]]).expand(batch.size, -1) / batch.size
    return {"adversarial": found.cpu().contiguous(), "part": part.cpu(), "cost": cost.contiguous()}


def there(path: Path, x: Tensor) -> dict[str, Tensor] | None:
    """Return a stored batch, or None if there is none that fits."""
    try:
        stored = load(disk.read(path))
    except (OSError, SafetensorError, KeyError, ValueError):
        return None
    shapes = {"adversarial": x.shape, "part": x.shape[:1], "cost": (len(x), 2)}
    fits = stored.keys() == shapes.keys() and all(stored[key].shape == shape for key, shape in shapes.items())
    return stored if fits and stored["adversarial"].dtype == torch.float32 else None


def clear(folder: Path) -> None:
    """Remove the parts, which are in the result now; the caller holds the lock of the folder."""
    for path in (*folder.glob(PARTS), folder / "lock"):
        path.unlink(missing_ok=True)
    with suppress(OSError):  # something else is in it
        folder.rmdir()
