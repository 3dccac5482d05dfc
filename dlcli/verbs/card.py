"""The model card of an export: what the nets are for, what they learned from, how well, and how to load them.

The run may be a stranger's: its texts are made printable, and only numbers count as scores.
"""

import json
from collections.abc import Mapping, Sequence
from shlex import join
from typing import Any

from torch import Tensor

from dlcli.run import Run
from dlcli.text import printable, tabled

LOAD = {
    "safetensors": """import json
from safetensors.torch import load_file
from dlcli.config.build import build

model = build(json.load(open("config.json")))
model.load_state_dict(load_file("model.safetensors"))
model.eval()
""",
    "torch": """import torch

net = torch.export.load("{file}").module()
answer = net(x)
""",
    "onnx": """import onnxruntime

session = onnxruntime.InferenceSession("{file}")
(answer,) = session.run(None, {{session.get_inputs()[0].name: x}})
""",
}


def card(
    run: Run, record: dict[str, Any], config: dict[str, Any], calls: Mapping[str, Any], files: Sequence[str]
) -> str:
    """Return the card as Markdown."""
    trained, kind = record["config"], config["format"]
    parts = [
        f"# {printable(trained.get('name'))} on {printable(trained['data'].get('name'))}",
        table(("", ""), facts(run, record, config)),
        "## Nets",
        table(("net", "takes", "gives", "weights"), [shapes(name, call) for name, call in calls.items()]),
        about(trained["data"]),
        "## Scores",
        table(("split", "score", "value"), scores(run)) if scores(run) else "Not measured.",
        "## Load",
        f"```python\n{LOAD[kind].format(file=files[0]) if kind != 'safetensors' else LOAD[kind]}```",
        "## Config",
        f"```json\n{json.dumps(trained['model'], indent=1)}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def facts(run: Run, record: dict[str, Any], config: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what the run says about itself."""
    trained, data = record["config"], record["config"]["data"]
    task = next((f"{data[fact]} {fact}" for fact in ("classes", "labels", "targets") if data.get(fact)), "no answers")
    names = f" ({', '.join(map(printable, data['names'][:20]))})" if isinstance(data.get("names"), list) else ""
    versions = record.get("versions") or {}
    words = [str(word).removeprefix("++") for word in record.get("overrides") or []]
    found = [
        ("task", f"{printable(task)}{names}"),
        ("rule", f"`{printable(trained['model'].get('_target_'))}`"),
        ("data", f"{printable(data.get('name'))}, {printable(data.get('kind'))}"),
        (
            "weights",
            f"{config['checkpoint']} of step {run.status.get('at' if config['checkpoint'] == 'best' else 'step')}",
        ),
        ("command", f"`{printable(join(['dl', 'train', *words]))}`"),
        ("seed", printable(trained.get("seed"))),
        ("versions", ", ".join(f"{printable(name)} {printable(value)}" for name, value in versions.items())),
    ]
    if (record.get("init_from") or {}).get("run"):
        found.append(("started from", f"`{printable(record['init_from']['run'])}`"))
    if (trained.get("lora") or {}).get("rank"):
        found.append(("LoRA", f"rank {printable(trained['lora']['rank'])}, merged into the weights"))
    return found


def shapes(name: str, call: Any) -> tuple[str, ...]:
    """Return a net's row: inputs, outputs and weights."""
    given = [sized(value) for value in call.inputs if isinstance(value, Tensor)]
    weights = sum(p.numel() for p in call.net.parameters())
    return f"`{name}`", ", ".join(given), ", ".join(map(sized, call.outputs)), f"{weights:,}"


def sized(value: Tensor) -> str:
    """Return the shape of a batch."""
    return " x ".join(["B", *map(str, value.shape[1:])])


def about(data: dict[str, Any]) -> str:
    """Say what the inputs must look like."""
    pixels = "Pixels are in [0, 1]; the net normalizes them itself. " if data.get("kind") == "images" else ""
    return f"{pixels}B is the number of examples. Classifiers give logits, regressions the units of the targets."


def scores(run: Run) -> list[tuple[str, str, str]]:
    """Return the scores of the splits that were measured with the best weights."""
    found = []
    for split, file in (("valid", "report.json"), ("test", "report-test.json")):
        report = run.read(file) if (run / file).exists() else {}
        measured = report.get("scores") if report.get("checkpoint", "best") == "best" else None
        for name, value in (measured if isinstance(measured, dict) else {}).items():
            if isinstance(value, (int, float)):
                found.append((split, printable(name), f"{value:.4g}"))
    return found


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join(map(tabled, (header, ["---"] * len(header), *rows)))
