"""`dl eval`: the numbers and pictures of a split, the test split by default; needs nothing but the run folder."""

from io import BytesIO
from typing import Any

import torch

from dlcli.data.loader import Loader
from dlcli.data.serving import serve
from dlcli.engine.precision import Precision
from dlcli.engine.randomness import aside
from dlcli.engine.scoring import measure
from dlcli.log import FOREVER, Log
from dlcli.run import Run
from dlcli.seeing.codes.views import OF_CODES
from dlcli.seeing.views import chosen
from dlcli.text import printable
from dlcli.verbs.certify import certified
from dlcli.verbs.codes import look, stage
from dlcli.verbs.common import load_data, pick_device, split_of
from dlcli.verbs.judge import judged
from dlcli.verbs.passage import passage
from dlcli.verbs.see import maps, see
from dlcli.verbs.together import assemble
from dlcli.verbs.wordplay import wordplay


def evaluate(run: Run, config: dict[str, Any]) -> dict[str, float]:
    """Score a run on a split; write report, figures and maps into the run folder; return the scores."""
    views = chosen(config["see"])  # a mistake is told before anything is loaded
    record, choice = run.record, pick_device(config["device"])
    model, members = assemble(run, config, choice.device)
    if config["text"] is not None:
        return passage(run, model, config, choice.device)
    if config["analogies"] is not None:
        return wordplay(run, model, config)
    splits = load_data(record["config"]["data"], config["paths"]["data"], config["plugins"])
    examples = serve(
        split_of(splits, config["split"], record), size=config["batch"], shuffle=False, device=choice.device
    )
    scene, of_codes = stage(model, splits, examples, record, config)
    verdict = judged(model, splits, examples, record, config) | certified(model, examples, config)
    precision = Precision(choice.device, "fp32")
    measured = measure(model, examples, precision, config["seed"])
    with aside(config["seed"]):
        scores = model.score(measured)
        report = {name: value() if callable(value) else value for name, value in model.report(measured).items()}
        report |= {"members": alone(members, examples, precision, config["seed"])} if members else {}
        report |= maps(model, examples, config["points"])
        worst = mistakes(model, examples, measured, config["mistakes"])
        report |= see(model, examples, measured, views, config)
    report |= look(scene, of_codes, measured, config["seed"]) | verdict
    figures = {name: value for name, value in report.items() if hasattr(value, "savefig")}
    numbers = {name: value for name, value in report.items() if name not in figures}
    write(run, config, scores, numbers, figures, worst)
    tell(run, config["split"], examples.examples, scores, numbers)
    asked = [] if config["see"] in ("usual", "all") else views
    for name in asked:
        if name not in OF_CODES and name not in figures:
            print(f"see={name}: a {type(model).__name__} has nothing of it to draw; docs/seeing.md says what has")
    return scores


def alone(members: dict[str, Any], examples: Loader, precision: Precision, seed: int) -> dict[str, dict[str, float]]:
    """Return loss and monitored score of every member of a committee by itself."""
    rows = {}
    for name, member in members.items():
        scores = member.score(measure(member, examples, precision, seed))
        rows[name] = {key: scores[key] for key in ("loss", member.monitor)}
    return rows


def mistakes(model: Any, examples: Loader, measured: dict[str, torch.Tensor], count: int) -> dict[str, Any]:
    """Return what the model shows of the examples with the largest loss, the worst first."""
    if count == 0 or "loss" not in measured:
        return {}
    worst = measured["loss"].argsort(descending=True)[:count]
    with torch.no_grad():
        return model.show(examples.take(worst))


def write(run: Run, config: dict[str, Any], scores: dict, numbers: dict, figures: dict, worst: dict) -> None:
    """Write everything into the run folder and TensorBoard."""
    split, step = config["split"], run.at
    log = Log(run.path, resumed_at=FOREVER)
    log.scalars({f"{split}/{name}": value for name, value in scores.items()}, step)
    log.figures(split, figures, step)
    log.pictures(f"{split}/worst", worst, step)
    log.close()
    for name, value in worst.items():
        target = f"figures/{split}-worst-{name.replace(' ', '-')}"
        if isinstance(value, str):
            run.put(f"{target}.txt", f"{value}\n".encode())
        else:
            run.put(f"{target}.png", png(value))
    asked = {key: config[key] for key in ("split", "checkpoint", "committee", "views")}
    run.write(f"report-{split}.json", {**asked, "scores": scores, **numbers})


def png(pictures: torch.Tensor) -> bytes:
    """Return pictures (N, C, H, W) as the content of a file."""
    from dlcli.figures import save_grid

    with BytesIO() as file:
        save_grid(pictures, file)
        return file.getvalue()


def tell(run: Run, split: str, examples: int, scores: dict[str, float], numbers: dict[str, Any]) -> None:
    """Print scores and tables."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    console.print(f"{run}: {examples:,} {split} examples", markup=False, soft_wrap=True)
    flat = scores | {name: value for name, value in numbers.items() if isinstance(value, float)}
    table = Table(box=None, show_header=False)
    for name, value in flat.items():
        table.add_row(name, number(value))
    console.print(table)
    for name, rows in numbers.items():
        if isinstance(rows, dict) and rows and all(isinstance(row, dict) for row in rows.values()):
            columns = list(next(iter(rows.values())))
            grid = Table(name, *columns, box=None)
            for label, row in rows.items():
                grid.add_row(Text(printable(label)), *(number(row[c]) for c in columns))
            console.print()
            console.print(grid)
    for line in (f"figures  {run}/figures", f"numbers  {run}/report-{split}.json"):
        console.print(line, markup=False, soft_wrap=True)


def number(value: float) -> str:
    """Return a count in full, and another number with four digits."""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
