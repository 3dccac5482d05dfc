"""Small tables: `dl` beside scikit-learn's own models on the same split, five seeds each.

Inputs are standardized with the training split on both sides. `dl` keeps the epoch of the best validation score; the
scikit-learn models see the training split alone as well. The test split is scored once per run.
"""

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dlcli.config import paths
from dlcli.config.build import build
from dlcli.data.loader import Resident
from dlcli.engine.loop import measure
from dlcli.engine.precision import Precision
from dlcli.run import Run
from dlcli.verbs.common import revive

CPU = torch.device("cpu")

SEEDS = range(5)
RECIPE = ["monitor=loss", "epochs=100", "batch=32", "schedule=cosine", "optimizer=adam", "optimizer.lr=5.0e-2"]
DEEP = [*RECIPE[:-1], "model.net.widths=[64]", "optimizer.lr=5.0e-3"]
WIDE: dict[str, Any] = {"hidden_layer_sizes": (64,), "max_iter": 2000}
ROWS = [
    *((data, "softmax", RECIPE, LogisticRegression(max_iter=1000)) for data in ("iris", "wine", "breast_cancer")),
    *((data, "mlp", DEEP, MLPClassifier(**WIDE)) for data in ("iris", "wine", "breast_cancer")),
    ("diabetes", "linear", RECIPE, LinearRegression()),
    ("diabetes", "mlp_regression", DEEP, MLPRegressor(**WIDE)),
]


def ours(data: str, model: str, recipe: list[str]) -> Iterator[float]:
    """Train `dl` with each seed in an empty folder, and yield the test scores of the runs."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["-m", f"model={model}", f"data={data}", *recipe, f"seed={','.join(map(str, SEEDS))}"]
        subprocess.run([sys.executable, "-m", "dlcli", "train", *words], cwd=folder, check=True, capture_output=True)
        for path in sorted(Path(folder).glob("outputs/*-*/*/run.json")):
            trained = revive(Run(path.parent), "best", CPU)
            test = Resident(split(data).test, size=500, shuffle=False)
            scores = trained.score(measure(trained, test, Precision(CPU, "fp32"), 0))
            yield scores["accuracy"] if "accuracy" in scores else scores["r2"]


def split(data: str) -> Any:
    """Return the splits of a data set."""
    node = OmegaConf.create({"data": OmegaConf.load(paths.options("data")[data])})
    plain: Any = OmegaConf.to_container(node, resolve=True)
    return build(plain["data"]["source"]).load(Path())


def theirs(data: str, model: Any) -> Iterator[float]:
    """Fit scikit-learn's model with each seed on the training split, and yield its test scores."""
    splits = split(data)
    (x, y), (test_x, test_y) = ((split.x.numpy(), split.y.squeeze().numpy()) for split in (splits.train, splits.test))
    for seed in SEEDS:
        fresh = clone(model)
        if "random_state" in fresh.get_params():
            fresh.set_params(random_state=seed)
        yield make_pipeline(StandardScaler(), fresh).fit(x, y).score(test_x, test_y)


def spread(values: Iterator[float]) -> str:
    """Return mean ± standard deviation."""
    found = list(values)
    return f"{statistics.mean(found):.4f} ± {statistics.stdev(found):.4f}"


def main() -> None:
    """Print a row for each data set and model: test accuracy, or R² for diabetes."""
    rows = ["| data | `dl` | test score | scikit-learn | test score |", "|---|---|---|---|---|"]
    for data, model, recipe, peer in ROWS:
        mine, other = spread(ours(data, model, recipe)), spread(theirs(data, peer))
        rows.append(f"| {data} | {model} | {mine} | {type(peer).__name__} | {other} |")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
