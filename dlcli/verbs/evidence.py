"""What an attack leaves behind: pairs, pictures that any viewer opens, figures, a report, and a few lines."""

from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dlcli import disk, jsonfile
from dlcli.attacks.outcome import outcome
from dlcli.attacks.threat import Attack
from dlcli.attacks.verify import verify
from dlcli.attacks.victim import fingerprint, likeness
from dlcli.engine.checkpoint import decode, encode
from dlcli.errors import DlError
from dlcli.figures import adversarial as figure_of
from dlcli.log import FOREVER, Log
from dlcli.run import brief
from dlcli.verbs.assault import Made
from dlcli.verbs.common import writable
from dlcli.verbs.victim import Stage, answers

SHOWN, LARGEST = 8, 2**26  # pictures in the figure; pixels of a sheet
LEVELS = 255


def name_of(stage: Stage, method: Attack, key: str) -> str:
    """Return a name for the files, which no other attack on the run has."""
    return apart(stage, plainly(stage, method), key)


def apart(stage: Stage, name: str, key: str) -> str:
    """Return a name, longer by some of the key if the run has a report of that name with another key."""
    try:
        other = jsonfile.read(stage.run / f"attack-{name}.json").get("key")
    except (OSError, ValueError):
        return name
    return name if other == key else f"{name}-{key[:6]}"


def plainly(stage: Stage, method: Attack) -> str:
    """Return a name that says what is done: method, effort, threat."""
    values = stage.config["attack"]
    steps = "".join(f"-{values[key]}" for key in ("steps", "queries") if key in values)
    again = f"x{values['restarts']}" if values.get("restarts", 1) > 1 else ""
    loss = {"margin": "-margin", "dlr": "-dlr"}.get(values.get("loss"), "")
    still = "-still" if values.get("random_start") is False else ""
    drawn = "-momentum" if values.get("momentum") else ""
    target = "" if method.target is None else f"-{method.target}"
    size = "" if method.eps is None else f"-eps{method.eps:g}"
    through = "" if stage.through is None else "-substitute" if stage.asked else "-transfer"
    kind = type(method).__name__.lower()
    return f"{kind}{steps}{again}{still}{drawn}{loss}{target}{through}-{method.norm}{size}"


def folder(stage: Stage) -> Path:
    """Return where the results go."""
    return Path(stage.config["out"]) if stage.config["out"] else stage.run / "attacks"


def keep(stage: Stage, name: str, method: Attack, made: Made, target: Tensor | None) -> Made:
    """Write the pairs with their threat model, and return them as they stand in the file: that is what is reported.

    Raises DlError unless the pictures that were attacked are still those of the data set.
    """
    path = folder(stage) / f"{name}.safetensors"
    threat = {"norm": method.norm, "eps": method.eps, "model": fingerprint(stage.victim)}
    pairs = {"clean": made.clean, "adversarial": made.adversarial, "labels": made.labels}
    wanted = {} if target is None else {"target": target}
    with writable(path.parent):
        disk.write(path, encode(pairs | wanted, threat))
        saved, _ = decode(disk.read(path), path)
    if likeness([(saved["clean"], saved["labels"])]) != stage.likeness:
        raise DlError(f"{path}: its clean pictures and labels are not those of the data set; discard them")
    return made._replace(**{part: saved[part] for part in pairs})


def tell(stage: Stage, name: str, report: dict[str, Any], made: Made, logits: tuple[Tensor, Tensor]) -> None:
    """Write sheet, figure and report; print the outcome."""
    report["name"] = name
    report["eight_bit"] = eight_bit(stage, name, report, made, logits[0])
    names = getattr(stage.victim, "names", None) or [str(i) for i in range(logits[0].shape[1])]
    rows = telling(made, *logits)
    before, after = ([names[i] for i in part[rows].argmax(1).tolist()] for part in logits)
    truth = [names[i] for i in made.labels[rows].tolist()]
    figure = figure_of(f"{name}: what the net sees", made.clean[rows], made.adversarial[rows], truth, before, after)
    shares = {key: report[key] for key in ("clean_accuracy", "robust_accuracy", "success_rate")}
    log = Log(stage.run.path, resumed_at=FOREVER)
    log.figures("attack", {name: figure}, stage.run.at)
    log.scalars({f"attack/{name}/{key}": value for key, value in shares.items()}, stage.run.at)
    log.close()
    stage.run.write(f"attack-{name}.json", report)
    lines(stage, name, report, shares)


def telling(made: Made, before: Tensor, after: Tensor) -> Tensor:
    """Return some examples, those that were won first, classes in turn."""
    won = (before.argmax(1) == made.labels) & (after.argmax(1) != made.labels)
    turn = torch.zeros_like(made.labels)
    for kind in made.labels.unique():
        own = (made.labels == kind).nonzero().flatten()
        own = own[(~won[own]).long().argsort(stable=True)]
        turn[own] = torch.arange(len(own))
    return (turn * 2 * len(won) + (~won) * len(won) + made.labels).argsort(stable=True)[:SHOWN]


def lines(stage: Stage, name: str, report: dict[str, Any], shares: dict[str, float]) -> None:
    """Print what came out."""
    print(f"{stage.run}: {report['examples']} {stage.config['split']} examples, {name}; budget and box verified")
    if stage.through:
        print(f"  made with {stage.through}")
    if report["learning"]["queries"]:
        cost = report["learning"]
        print(f"  learned from       {cost['queries']} answers, {cost['gradients']} with gradients")
    for key, value in shares.items():
        print(f"  {key.replace('_', ' '):18} {100 * value:.2f} %")
    if not report["attacked"]:
        print("  no example was there to win: the net gets none right, or each has the target class already")
    for part, value in report.get("robust_after", {}).items():
        print(f"    after {part:10} {100 * value:.2f} %")
    if "distance" in report:
        size = report["distance"]
        print(
            f"  distance           median {size['median']:.4g}, mean {size['mean']:.4g}, largest {size['largest']:.4g}"
        )
    print(f"  queries            {report['queries']:.1f} for each example, {report['gradients']:.1f} with gradients")
    if report["eight_bit"]:
        print(f"  as 8-bit pictures  {report['eight_bit']['says']}")
    for check in report["checks"]:
        print(f"  {'PASS' if check['passed'] else 'WARN'} {check['name']}: {check['finding']}")
    print(f"pairs and pictures in {brief(folder(stage) / name)}.*")


def eight_bit(stage: Stage, name: str, report: dict[str, Any], made: Made, before: Tensor) -> dict[str, Any] | None:
    """Write the adversarial pictures as one PNG of 256 levels, and see whether they still are within the threat model.

    Rounded towards the originals. None for pictures that are neither grey nor coloured, or too many.
    """
    import numpy as np
    from PIL import Image

    count, channels, height, width = made.adversarial.shape
    if channels not in (1, 3) or count * height * width > LARGEST:
        return None
    columns = int(count**0.5) or 1
    path = folder(stage) / f"{name}.png"
    written = BytesIO()
    Image.fromarray(tiled(rounded(made.clean, made.adversarial), columns)).save(written, "png")
    with writable(path.parent):
        disk.write(path, written.getvalue())
    with Image.open(written) as sheet:
        loud = torch.from_numpy(np.asarray(sheet).copy()).view(*sheet.size[::-1], channels)
    pictures = untiled(loud, count, columns, height, width).float() / LEVELS
    threat = report["threat"]
    bound = float("inf") if threat["eps"] is None else threat["eps"]
    try:
        verify(made.clean, pictures, eps=bound, norm=threat["norm"])
        fits = "verified"
    except DlError as error:
        fits = f"beyond the threat model: {error}"
    found = outcome(before, answers(stage, pictures), made.labels)
    return {"verified": fits == "verified", "robust_accuracy": found["robust_accuracy"],
            "says": f"robust accuracy {100 * found['robust_accuracy']:.2f} %, {fits}"}  # fmt: skip


def rounded(clean: Tensor, adversarial: Tensor) -> Tensor:
    """Return 8-bit pictures (N, C, H, W) whose changes are whole levels, none larger than it was."""
    levels = ((adversarial - clean).abs() * LEVELS + 1e-3).floor() * (adversarial - clean).sign()
    return ((clean * LEVELS).round() + levels).clamp(0, LEVELS).to(torch.uint8)


def tiled(pictures: Tensor, columns: int) -> Any:
    """Return pictures (N, C, H, W) side by side, (rows H, columns W[, 3]), as numpy."""
    count, channels, height, width = pictures.shape
    rows = -(-count // columns)
    whole = torch.zeros(rows * columns, channels, height, width, dtype=torch.uint8)
    whole[:count] = pictures
    sheet = whole.view(rows, columns, channels, height, width).permute(0, 3, 1, 4, 2)  # (rows, H, columns, W, C)
    sheet = sheet.reshape(rows * height, columns * width, channels)
    return (sheet[..., 0] if channels == 1 else sheet).contiguous().numpy()


def untiled(sheet: Tensor, count: int, columns: int, height: int, width: int) -> Tensor:
    """Return the pictures of a sheet (rows H, columns W, C)."""
    rows = len(sheet) // height
    whole = sheet.view(rows, height, columns, width, -1).permute(0, 2, 4, 1, 3)  # (rows, columns, C, H, W)
    return whole.reshape(rows * columns, -1, height, width)[:count]
