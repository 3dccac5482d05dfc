"""All defences in one table: accuracy on clean pictures, under FGSM, under PGD, and under the strongest attack on each.

Same net, same data, same steps of training; the lectures' six defences, those that hide gradients, and adversarial
training. The strongest is the attack of the list that leaves least; transfer is PGD through the undefended net.
"""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import common

DEFENCES = {
    "none": ["model=madry"],
    "noise at test time": ["model=noisy"],
    "averaging three nets": ["model=ensemble"],
    "weight decay": ["model=madry", "optimizer.weight_decay=1e-3"],
    "noise while learning": ["model=madry", "augment=noise", "augment.std=0.25"],
    "dropout": ["model=madry", "model.net.dropout=0.5"],
    "quantization": ["model=squeezed"],
    "feature squeezing": ["model=squeezed", "model.net.median=3"],
    "distillation": ["model=distilled"],
    "smoothing": ["model=smoothed"],
    "trained against FGSM": ["model=robust_fgsm", "model.attack.eps={eps}"],
    "trained against FGSM-RS": ["model=robust_fast", "model.attack.eps={eps}", "model.attack.step_size={stride}"],
    "trained against PGD": ["model=robust", "model.attack.eps={eps}"],
    "TRADES": ["model=trades", "model.attack.eps={eps}"],
}
LONG = ["attack=pgd", "attack.steps=100", "attack.restarts=5", "attack.loss=margin"]
RANDOM = {"noise at test time": 10, "smoothing": 2}  # answers to average: smoothing averages 16 by itself


def main() -> None:
    """Train every defence and attack it."""
    given = common.options(
        __doc__, eps="largest change of a pixel (default 0.1)", only="some defences, A,B,C (default: all)"
    )
    eps = float(given.eps or 0.1)
    chosen = list(DEFENCES)[:2] if given.quick else list(DEFENCES)
    if given.only:
        chosen = [name for name in DEFENCES if name in ("none", *given.only.split(","))]
    size = ["data=digits8", "epochs=1"] if given.quick else ["data=digits", "epochs=20"]
    count = "n=20" if given.quick else "n=300"
    rows, plain = [], None
    with TemporaryDirectory() as outputs:
        for name in chosen:
            home = f"paths.outputs={outputs}/{name.replace(' ', '-')}"
            words = [word.format(eps=eps, stride=1.25 * eps) for word in DEFENCES[name]]
            dl("train", *words, *size, home, f"device.threads={given.threads}")
            run = next(Path(home.partition("=")[2]).glob("*/*/run.json")).parent
            plain = plain or run
            found = {what: left(run, [*attack, count], eps) for what, attack in attacks(name, run, plain).items()}
            what = min(found, key=lambda key: found[key][1])
            clean, worst = found["FGSM"][0], found[what][1]
            shares = (clean, found["FGSM"][1], found["PGD"][1], worst)
            rows.append([name, *(f"{100 * share:.1f}" for share in shares), what])
    common.show(rows, given, (f"accuracy in %, linf {eps:g}", "clean", "FGSM", "PGD-40", "strongest", "which"))


def attacks(name: str, run: Path, plain: Path) -> dict[str, list[str]]:
    """Return the attacks on a defence, by name."""
    found = {"FGSM": ["attack=fgsm"], "Square": ["attack=square", "attack.queries=1000"]}
    if name in RANDOM:
        found["PGD"] = ["attack=pgd", f"attack.eot={RANDOM[name]}"]
    else:
        found["PGD"] = ["attack=pgd"]
        found["PGD-100, margin, 5 restarts"] = LONG
        found["AutoAttack"] = ["attack=autoattack", "attack.queries=1000"]
    return found if run == plain else found | {"transfer": ["attack=pgd", f"transfer_from={plain}"]}


def left(run: Path, words: list[str], eps: float) -> tuple[float, float]:
    """Attack a run; return its clean and its robust accuracy."""
    before = set(run.glob("attack-*.json"))
    dl("attack", str(run), *words, f"attack.eps={eps}", "checks=0")
    (report,) = set(run.glob("attack-*.json")) - before
    found = json.loads(report.read_text(encoding="utf-8"))
    return found["clean_accuracy"], found["robust_accuracy"]


def dl(*words: str) -> None:
    """Run one command of the tool."""
    common.child([sys.executable, "-m", "dlcli", *words])


if __name__ == "__main__":
    main()
