"""The types and ranges of config values, in one table; default values and meanings stand in the YAML files.

A root key has a row of its own. Inside a group a row serves every key of that name (`lr` of any optimizer); a key
without a row takes its type from its default value. One checker serves command line, files and sweeps alike.
"""

import math
from typing import Any, NamedTuple


class Kind(NamedTuple):
    """The values that a key may take."""

    type: type
    low: float = -math.inf
    high: float = math.inf
    open: bool = False  # the bounds themselves are excluded
    null: bool = False  # null is allowed
    choices: tuple[str, ...] = ()
    many: bool = False  # a list of such values is allowed
    each: "Kind | None" = None  # what a list holds

    def fault(self, value: Any) -> str | None:
        """Return what is wrong with a value, or None."""
        if self.many and isinstance(value, list):
            return next((fault for item in value if (fault := self.fault(item))), None if value else f"must be {self}")
        if value is None:
            return None if self.null else f"must be {self}"
        if self.type is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if self.type is str and not self.choices and isinstance(value, int | float):
            return f"must be {self}: {value} is a number, '\"{value}\"' a text"
        right = isinstance(value, self.type) and (self.type is bool or not isinstance(value, bool))
        odd = right and self.each is not None and any(self.each.fault(item) for item in value)
        if not right or odd or (self.choices and value not in self.choices):
            return f"must be {self}"
        if self.type in (int, float) and not self.within(value):
            return f"must be {self}"
        return None

    def within(self, value: float) -> bool:
        """Tell whether a number is finite and inside the bounds."""
        inside = self.low < value < self.high if self.open else self.low <= value <= self.high
        return inside and math.isfinite(value)

    def __str__(self) -> str:
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        names = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", list: "a list"}
        name = names.get(self.type, self.type.__name__)
        signs = ("above", "below") if self.open else (">=", "<=")
        bounds = [
            f"{sign} {bound:g}"
            for sign, bound in zip(signs, (self.low, self.high), strict=True)
            if abs(bound) < math.inf
        ]
        ends = f"{' or null' if self.null else ''}{', or a list of them' if self.many else ''}"
        entries = f", each of it {self.each}" if self.each else ""
        return f"{name}{' ' if bounds else ''}{' and '.join(bounds)}{entries}{ends}"


FREE = ("players", "layers", "init_names")  # nodes that the user fills

POSITIVE = Kind(float, 0, open=True)
COUNT = Kind(int, 1)
SHARE = Kind(float, 0, 1)
DECAY = Kind(float, 0, 0.999)

ROOT: dict[str, Kind | None] = {
    "seed": Kind(int, 0, 2**63 - 1),
    "epochs": COUNT,
    "batch": COUNT,
    "max_steps": Kind(int, 1, null=True),
    "max_time": Kind(float, 0, open=True, null=True),
    "precision": Kind(str, choices=("auto", "fp32", "bf16", "fp16")),
    "clip": Kind(float, 0, open=True, null=True),
    "clip_value": Kind(float, 0, open=True, null=True),
    "accumulate": COUNT,
    "ema": Kind(float, 0, 1, open=True, null=True),
    "swa": Kind(float, 0, 0.999, null=True),
    "l1": Kind(float, 0),
    "max_norm": Kind(float, 0, open=True, null=True),
    "patience": Kind(int, 1, null=True),
    "monitor": Kind(str, null=True),
    "limit": Kind(float, 1e-9, 1),
    "limit_valid": Kind(float, 1e-9, 1),
    "without": Kind(list),
    "bootstrap": Kind(bool),
    "overfit": Kind(int, 0),
    "init_from": Kind(str, null=True),
    "init_only": Kind(list),
    "vectors": Kind(str, null=True),
    "freeze": Kind(list),
    "learn": Kind(list),
    "thaw": SHARE,
    "layer_decay": Kind(float, 0.001, 1),
    "lora.rank": Kind(int, 0),
    "lora.alpha": POSITIVE,
    "lora.layers": Kind(list),
    "format": Kind(str, choices=("safetensors", "onnx", "torch")),
    "force": Kind(bool),
    "compile": Kind(bool),
    "channels_last": Kind(bool, null=True),
    "deterministic": Kind(bool),
    "save.seconds": Kind(float, 0),
    "save.steps": Kind(int, 1, null=True),
    "save.keep": Kind(int, 2),
    "fork": Kind(bool),
    "dry_run": Kind(bool),
    "find_lr": Kind(bool),
    "sweep.search": Kind(str, choices=("grid", "random", "optuna")),
    "sweep.jobs": COUNT,
    "sweep.time": Kind(float, 0, open=True, null=True),
    "sweep.again": Kind(bool),
    "sweep.trials": COUNT,
    "sweep.seed": Kind(int, 0),
    "resume": Kind(str, null=True),
    "committee": Kind(list),
    "judge": Kind(str, null=True),
    "inception": Kind(str, null=True),
    "inception_sha256": Kind(str, null=True),
    "certify": Kind(int, 0, null=True),
    "text": Kind(str, null=True),
    "analogies": Kind(str, null=True),
    "samples": Kind(int, 50),
    "views": Kind(str, choices=("none", "mirror", "shift")),
    "checkpoint": Kind(str, choices=("best", "last")),
    "split": Kind(str, choices=("train", "valid", "test")),
    "out": Kind(str, null=True),
    "n": Kind(int, 1, null=True),
    "columns": COUNT,
    "files": Kind(bool),
    "plugins": Kind(list),
    "see": None,  # a word or a list, checked where the views are known
    "layer": Kind(str, null=True),
    "explain": Kind(str, choices=("classes", "worst")),
    "attack.eps": Kind(float, 0, null=True, many=True),
    "attack.target": None,  # a word or a class, checked where the classes are known
    "attack.step_size": Kind(float, 0, open=True, null=True),
    **{f"attack.{key}": COUNT for key in ("draws", "eot", "searches", "candidates", "passes", "turns", "shifts")},
    **{f"attack.{key}": Kind(float, 0) for key in ("confidence", "degrees")},
    "attack.queries": Kind(int, 0),
    "attack.population": Kind(int, 4),
    "attack.shift": Kind(int, 0),
    "attack.spread": POSITIVE,
    "stop": Kind(bool),
    "transfer_from": None,  # a run or a list of runs
    "twin": Kind(str, null=True),
    "pairs": Kind(str, null=True),
    "substitute.queries": Kind(int, 0),
    "substitute.rounds": COUNT,
    "substitute.passes": COUNT,
    "device.name": Kind(str, choices=("auto", "cpu", "cuda", "mps")),
    "device.index": Kind(int, 0),
    "device.threads": Kind(int, 1, null=True),
}

ANYWHERE = {
    "lr": POSITIVE,
    "eps": Kind(float, 0),
    "momentum": Kind(float, 0, 1),
    "alpha": Kind(float, 0, 1),
    "weight_decay": Kind(float, 0),
    "warmup": SHARE,
    "beta": Kind(float, 0),
    "dropout": DECAY,
    "input_dropout": DECAY,
    "smoothing": SHARE,
    "latent": COUNT,
    "steps": COUNT,
    "restarts": COUNT,
    "persistent": Kind(int, 0),
    "chains": COUNT,
    "sweeps": COUNT,
    "hottest": Kind(float, 1),
    "temperatures": COUNT,
    "runs": Kind(int, 2),
    "degree": COUNT,
    "depth": COUNT,
    "dims": Kind(int, 1, 3),
    "kernel": COUNT,
    "stride": COUNT,
    "dilation": COUNT,
    "scale": Kind(float, 0),
    "std": Kind(float, 0),
    "share": SHARE,
    "target": Kind(float, 0, 1, open=True),
    "count": COUNT,
    "active": Kind(int, 0),
    "weight": Kind(float, 0),
    "samples": COUNT,
    "importance": COUNT,
    "codes": COUNT,
    "commitment": Kind(float, 0),
    "decay": DECAY,
    "every": COUNT,
    "noise": Kind(float, 0),
    "scalars": COUNT,
    "temperature": Kind(float, 0),
    "prompt": Kind(str, null=True),
    "split_seed": Kind(int, 0),
    "valid": Kind(float, 0),  # a count, or a share below 1
    "test": Kind(float, 0),
    "tile": Kind(int, 1, null=True),
    "workers": Kind(int, 0),
    "memory": Kind(float, 0),
    "critic_steps": COUNT,
    "balance": SHARE,
    "rate": Kind(float, 0),
    "categories": COUNT,
    "factors": Kind(int, 0),
    "kernels": Kind(int, 0),
    "hidden": Kind(int, 0),
    "limit": POSITIVE,
    "widths": Kind(list, each=COUNT),
}


def kind(key: str, default: Any) -> Kind | None:
    """Return what a key may hold, or None where anything goes."""
    if key in ROOT:
        return ROOT[key]
    name = key.split(".")[-1]
    if name in ANYWHERE and isinstance(default, list if ANYWHERE[name].type is list else (int, float)):
        return ANYWHERE[name]
    if default is None or isinstance(default, dict) or str(default).startswith("${"):
        return None
    return Kind(type(default)) if isinstance(default, (bool, int, float, str, list)) else None
