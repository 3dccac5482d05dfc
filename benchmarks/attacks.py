"""PGD-40, DeepFool and AutoAttack: `dl` against torchattacks and foolbox, on the same net and pictures.

AutoAttack takes minutes and runs once, on robust nets above all: `--only AutoAttack --run RUN --eps 0.3 --count 1000`.

The peers live in an environment of their own, which this script makes: torchattacks asks for versions of other packages
that break them, so it comes without its dependencies, and torch is that of the environment in use. Success is counted
the same way for all: the class that the net sees in the pictures that came back.
"""

import json
import statistics
import sys
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import common

PEERS = ["torchattacks==3.5.1", "foolbox==3.3.4", "eagerpy", "GitPython", "gitdb", "smmap"]
NEEDED = ["requests"]
STEPS, OVERSHOOT = 40, 0.02
QUICK, ALL = ("PGD-40", "DeepFool"), ("PGD-40", "DeepFool", "AutoAttack")


def main() -> None:
    """Make the environment and run the comparison in it; or, there, compare."""
    given = common.options(
        __doc__, threads=1, run="folder of a classifier of MNIST; otherwise one is trained",
        peers="folder of the environment of the peers", inner="compare, in the environment of the peers",
        count="pictures (default 256)", only=f"{', '.join(ALL)} (default: the first two)",
        eps="largest change of a pixel (default 0.1)",
    )  # fmt: skip
    if given.only not in (None, *ALL):
        sys.exit(f"--only {given.only}: there is {', '.join(ALL)}")
    if given.inner:
        print(json.dumps(compare(given)))
        return
    with TemporaryDirectory() as folder:
        python = common.environment(Path(given.peers or folder) / "peers", PEERS, NEEDED)
        run = given.run or trained(Path(folder), given)
        words = [str(python), __file__, "--inner", "yes", "--run", run, "--threads", str(given.threads)]
        words += ["--quick"] * given.quick
        for name in ("count", "only", "eps"):
            words += [f"--{name}", getattr(given, name)] if getattr(given, name) else []
        _, printed = common.child(words)
    common.show(json.loads(printed.splitlines()[-1]), given, ("what", "ours", "peer", "ratio", "note"))


def trained(folder: Path, given: Namespace) -> str:
    """Return the run of a LeNet-5 that was trained for two epochs."""
    data = common.data_name(given.quick)
    words = ["train", "model=lenet", f"data={data}", "epochs=2", f"paths.outputs={folder}/outputs", "device=cpu"]
    common.child([sys.executable, "-m", "dlcli", *words, f"device.threads={given.threads}"])
    (run,) = (folder / "outputs").glob("*/*")
    return str(run)


def compare(given: Namespace) -> list[list[str]]:
    """Return the rows of the table."""
    import torch

    torch.set_num_threads(given.threads)
    net, x, y = scene(given)
    eps = float(given.eps or 0.1)
    makers = {"PGD-40": partial(pgd, eps=eps), "DeepFool": deepfool, "AutoAttack": partial(autoattack, eps=eps)}
    rows = []
    for what in [given.only] if given.only else QUICK:
        sides, rounds = makers[what](net), 1 if given.quick or what == "AutoAttack" else 3
        found: dict[str, Any] = {}
        acts = [partial(common.timed, partial(keep, found, name, act, x, y)) for name, act in sides.items()]
        for act in sides.values():
            act(x[:8], y[:8])  # the first call of a kernel is slow
        spent = dict(zip(sides, common.in_turn(acts, rounds), strict=True))
        for name in list(sides)[1:]:
            note = f"{judged(net, x, y, found['ours'], what)} / {judged(net, x, y, found[name], what)}"
            rows.append(common.compare(f"{what} on {len(x)} pictures, {name}", spent["ours"], spent[name], note))
    return rows


def keep(found: dict[str, Any], name: str, act: Callable[..., Any], x: Any, y: Any) -> None:
    """Run an attack and remember its pictures."""
    found[name] = act(x, y)


def judged(net: Any, x: Any, y: Any, moved: Any, what: str) -> str:
    """Return robust accuracy, and for the smallest changes how large they are."""
    import torch

    with torch.no_grad():
        right = net(moved).argmax(1) == y
    robust = f"robust {100 * right.double().mean():.1f} %"
    if what != "DeepFool":
        return robust
    size = (moved - x).flatten(1).norm(dim=1)[~right].tolist()
    return f"{robust}, median {statistics.median(size):.3f}" if size else robust


def scene(given: Namespace) -> tuple[Any, Any, Any]:
    """Return the net, and pictures with their classes that it gets right."""
    import torch

    from dlcli.run import Run
    from dlcli.verbs.common import load_data, revive

    run = Run(Path(given.run).absolute())
    net = revive(run, "best", torch.device("cpu"))
    for parameter in net.parameters():
        parameter.requires_grad_(False)  # torchattacks and foolbox would compute their gradients as well
    test = load_data(run.record["config"]["data"], str(common.data_root())).test
    count = 16 if given.quick else int(given.count or 256)
    x, y = test.x[: 2 * count].float() / 255, test.y[: 2 * count].long()
    with torch.no_grad():
        right = net(x).argmax(1) == y
    return net, x[right][:count], y[right][:count]


def pgd(net: Any, eps: float) -> dict[str, Callable[..., Any]]:
    """Return projected gradient descent of each library: a random start, 40 steps of 2.5 eps / 40."""
    import foolbox
    import torch
    import torchattacks

    from dlcli.attacks.pgd import PGD

    ours = PGD(eps=eps, steps=STEPS, stop=True)
    theirs = torchattacks.PGD(net, eps=eps, alpha=2.5 * eps / STEPS, steps=STEPS, random_start=True)
    model = foolbox.PyTorchModel(net, bounds=(0, 1), device="cpu")
    fool = foolbox.attacks.LinfPGD(rel_stepsize=2.5 / STEPS, steps=STEPS, random_start=True)
    return {
        "ours": lambda x, y: ours(net, x, y, torch.arange(len(x))),
        "torchattacks": lambda x, y: theirs(x, y).detach(),
        "foolbox": lambda x, y: fool(model, x, y, epsilons=eps)[1],
    }


def deepfool(net: Any) -> dict[str, Callable[..., Any]]:
    """Return DeepFool of each library: l2, at most 50 steps, overshoot 0.02."""
    import foolbox
    import torch
    import torchattacks

    from dlcli.attacks.deepfool import DeepFool

    ours, theirs = DeepFool(overshoot=OVERSHOOT), torchattacks.DeepFool(net, steps=50, overshoot=OVERSHOOT)
    model = foolbox.PyTorchModel(net, bounds=(0, 1), device="cpu")
    fool = foolbox.attacks.L2DeepFoolAttack(steps=50, overshoot=OVERSHOOT)
    return {
        "ours": lambda x, y: ours(net, x, y, torch.arange(len(x))),
        "torchattacks": lambda x, y: theirs(x, y).detach(),
        "foolbox": lambda x, y: fool(model, x, y, epsilons=None)[1],
    }


def autoattack(net: Any, eps: float) -> dict[str, Callable[..., Any]]:
    """Return AutoAttack of both libraries that have it, in its standard form."""
    import torch
    import torchattacks

    from dlcli.attacks.ensemble import AutoAttack

    ours = AutoAttack(eps=eps)
    theirs = torchattacks.AutoAttack(net, norm="Linf", eps=eps, version="standard", n_classes=10, seed=0)
    return {
        "ours": lambda x, y: ours(net, x, y, torch.arange(len(x))),
        "torchattacks": lambda x, y: theirs(x, y).detach(),
    }


if __name__ == "__main__":
    main()
