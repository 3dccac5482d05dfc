"""How good samples are, in `dl eval`: by the modes of the data where they are known, and by another run, the judge.

The judge is a classifier that `dl` trained on the same data: its last hidden layer gives the features, and its answers
the classes. The protocol is fixed: so many samples (10,000, or as many as the split has) against as many real examples
of the split; beside the samples stand training examples, which are as good as samples can be.
"""

import hashlib
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dlcli import fidelity, figures
from dlcli.config.build import build
from dlcli.data.loader import Loader
from dlcli.data.serving import serve
from dlcli.engine.randomness import aside
from dlcli.errors import ConfigError, DivergedError
from dlcli.model import Model
from dlcli.run import find
from dlcli.verbs import inception
from dlcli.verbs.arithmetic import sums
from dlcli.verbs.common import revive, split_of
from dlcli.verbs.looks import looks

POPULAR = 0.1  # of the share that a class has in the split: with less, samples have lost it
NUMBERS = 2**26  # in all training examples that samples are compared with


class Judge(NamedTuple):
    """A classifier, and who it is."""

    model: Any
    about: dict[str, Any]

    @property
    def name(self) -> str:
        """The family of its net, as in FID-LeNet."""
        return type(self.model.net).__name__


class Exam(NamedTuple):
    """What is judged, and against what; all on the CPU, in the shape of the examples."""

    samples: Tensor  # (N, ...)
    real: Tensor  # (N, ...)
    reference: Tensor  # (M, ...), which are as good as samples can be
    asked: Tensor | None  # (N,) the class that each sample was to be of
    truth: Tensor  # (M,) the class that each of the reference is of
    against: str = "training"  # what the reference is


def judged(model: Any, splits: Any, examples: Loader, record: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """Return numbers, tables and figures of what a model generates. Raises ConfigError if it generates nothing."""
    centres, device = splits.facts.get("modes"), examples.device
    asked = next((f"{key}={config[key]}" for key in ("judge", "inception") if config[key]), None)
    if not asked and (centres is None or not generates(model)):
        return {}
    judge = called(config, record, device) if config["judge"] else None
    net = inception.read(config, device) if config["inception"] else None
    if not generates(model):
        raise ConfigError(f"{asked}: a {type(model).__name__} generates nothing that could be judged")
    with torch.no_grad(), aside(config["seed"]):
        exam = held(model, splits, examples, record, config)
        found = {} if centres is None else by_modes(exam, torch.tensor(centres), splits.facts["spread"])
        found |= {} if net is None else inception.verdict(*net, exam, device)
        return found if judge is None else found | verdict(judge, exam, config, device) | told(model, judge, config)


def told(model: Any, judge: Judge, config: dict[str, Any]) -> dict[str, Any]:
    """Return what sums of codes show, as the judge sees it."""
    ask = asking(judge, config["batch"], next(judge.model.parameters()).device)
    return sums(model, build(config["sampler"]), lambda x: ask(x)[1], judge.model.names)


def generates(model: Any) -> bool:
    """Tell whether a model has samples, or translates pictures."""
    return hasattr(model, "translate") or type(model).sample is not Model.sample


def called(config: dict[str, Any], record: dict[str, Any], device: torch.device) -> Judge:
    """Return the classifier that is to judge. Raises ConfigError for another model, and for another's data."""
    run = find(Path(config["paths"]["outputs"]), config["judge"])
    theirs, ours = run.record["config"], record["config"]
    data, own = theirs["data"], ours["data"].get("into") or ours["data"].get("name")
    named, cure = f"judge={config['judge']}", f"train one with `dl train model=lenet data={own}`"
    model = revive(run, "best", device, config["plugins"])
    if not hasattr(model, "net") or not hasattr(model, "classes"):
        raise ConfigError(f"{named}: a {type(model).__name__} is no classifier; {cure}")
    same = all(data.get(fact) == ours["data"].get(fact) for fact in ("features", "channels", "classes"))
    if data.get("name") != own or not same:
        raise ConfigError(f"{named}: it learned data={data.get('name')}, not the data={own} of this run; {cure}")
    return Judge(model, {"run": str(run), "family": theirs.get("name"), "data": own, "weights": sha256(model)})


def sha256(model: Any) -> str:
    """Return the SHA-256 of all weights of a model, in the order of their names."""
    total = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        total.update(name.encode())
        total.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return total.hexdigest()


def held(model: Any, splits: Any, examples: Loader, record: dict[str, Any], config: dict[str, Any]) -> Exam:
    """Draw, or translate, as many examples as the protocol asks for."""
    count = min(config["samples"], examples.examples)
    batch = examples.take(torch.randperm(examples.examples)[:count])
    if hasattr(model, "translate"):
        moved = torch.cat([model.translate(part).cpu() for part in batch.x.split(config["batch"])])
        return Exam(moved.clamp(0, 1), batch.other.cpu(), batch.x.cpu(), batch.y.cpu(), batch.y.cpu(), "untranslated")
    learned = serve(split_of(splits, "train", record), size=config["batch"], shuffle=False, device=examples.device)
    most = min(learned.examples, NUMBERS // batch.x[0].numel())
    train = learned.take(torch.randperm(learned.examples)[:most])
    samples, asked = drawn(model, build(config["sampler"]), count, config["batch"])
    asked = asked if hasattr(model, "names") else None  # categories that a model found by itself are no classes
    shaped = samples.float().reshape(-1, *batch.x.shape[1:])
    return Exam(shaped.clamp(0, 1) if shaped.ndim == 4 else shaped, batch.x.cpu(), train.x.cpu(), asked, train.y.cpu())


def drawn(model: Any, sampler: Any, count: int, size: int) -> tuple[Tensor, Tensor | None]:
    """Return samples (N, ...) and, where the model asked its sampler for classes, the class of each, (N,)."""
    asked: list[Tensor] = []
    noted = noting(sampler, asked)
    parts = [model.sample(min(size, count - done), noted).cpu() for done in range(0, count, size)]
    lost = sum(not bool(part.isfinite().all()) for part in parts)
    if lost:
        raise DivergedError(
            f"{lost} of {len(parts)} batches of samples hold numbers that are not finite; train more slowly"
        )
    return torch.cat(parts), torch.cat(asked).cpu() if asked else None


def noting(sampler: Any, asked: list[Tensor]) -> Any:
    """Return a sampler that also puts down which classes a model draws from."""
    if not hasattr(sampler, "labels"):
        return sampler

    def labels(n: int, names: Any) -> Tensor:
        asked.append(sampler.labels(n, names))
        return asked[-1]

    noted = copy(sampler)
    vars(noted)["labels"] = labels  # samplers are frozen, and models ask of what class they are
    return noted


def by_modes(exam: Exam, centres: Tensor, spread: float) -> dict[str, Any]:
    """Return how many of the known modes samples cover, and draw them."""
    numbers = fidelity.modes(exam.samples, centres, spread)
    title = f"{numbers['modes']:.0f} of {len(centres)} modes, {100 * numbers['good']:.1f} % good samples"
    if centres.shape[1] != 2:
        return numbers
    return numbers | {"ring": figures.ring(title, exam.samples, exam.real, centres, fidelity.REACH * spread)}


def verdict(judge: Judge, exam: Exam, config: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """Return all that a judge has to say."""
    ask = asking(judge, config["batch"], device)
    count = len(exam.samples)
    features, kinds = {}, {}
    few = {"samples": exam.samples, "real": exam.real, exam.against: exam.reference[:count]}
    for name, x in few.items():
        features[name], kinds[name] = ask(x)
    columns = ("samples", exam.against)
    rows = {name: compared(judge.name, features, kinds, name, judge.model.classes) for name in columns}
    if exam.asked is not None:
        rows["samples"]["class accuracy"] = share(kinds["samples"] == exam.asked)
        rows[exam.against]["class accuracy"] = share(kinds[exam.against] == exam.truth[:count])
    table = {key: {name: rows[name][key] for name in columns} for key in rows["samples"]}
    about = judge.about | {"samples": count, "features": features["real"].shape[1], "split": config["split"]}
    about |= {"seed": config["seed"], "sampler": config["sampler"], "against": exam.against}
    return {"judge": about, "judged": table, **looks(exam, kinds, judge.model.names)}


def asking(judge: Judge, size: int, device: torch.device) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """Return a function that gives features (N, D) and classes (N,) of examples (N, ...), on the CPU."""
    from dlcli.batch import Table

    def ask(x: Tensor) -> tuple[Tensor, Tensor]:
        parts = [Table(part.to(device), part.new_zeros(len(part))) for part in x.split(size)]
        features = torch.cat([judge.model.embed(part).flatten(1).float().cpu() for part in parts])
        return features, torch.cat([judge.model(part.x).argmax(1).cpu() for part in parts])

    return ask


def compared(name: str, features: dict[str, Tensor], kinds: dict[str, Tensor], who: str, classes: int) -> dict:
    """Return the numbers of examples `who` against the real ones."""
    real, others = features["real"], features[who]
    there, here = fidelity.shares(kinds["real"], classes), fidelity.shares(kinds[who], classes)
    width = fidelity.median_distance(real)
    return {
        f"FID-{name}": fidelity.frechet(real, others),
        f"KID-{name}": fidelity.squared_mmd(real, others, fidelity.cubic),
        "MMD": fidelity.squared_mmd(real, others, fidelity.gaussian(width)),
        **fidelity.neighbourhoods(real, others),
        "fresh critic": fidelity.separability(real, others),
        "modes": float(((here > POPULAR * there) & (there > 0)).sum()),
        "class imbalance": fidelity.imbalance(kinds[who], kinds["real"], classes),
    }


def share(right: Tensor) -> float:
    """Return the share of what is true."""
    return right.double().mean().item()
