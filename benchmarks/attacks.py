"""Attacks of `dl` against those of torchattacks and foolbox, on the same net: time, memory, and what they leave.

PGD-40 and DeepFool are timed. The others (`--only NAME,NAME`) are compared by what they leave, and so are all with
`--strength yes`, each run once. AutoAttack takes minutes, and is for robust nets above all:
`--only AutoAttack --run RUN --eps 0.3 --count 1000`.

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
from rivals import MAKERS, NEAREST, SIZES

PEERS = ["torchattacks==3.5.1", "foolbox==3.3.4", "eagerpy", "GitPython", "gitdb", "smmap"]
NEEDED = ["requests"]
TIMED = ("PGD-40", "DeepFool")
PEAK = Path("/proc/self/clear_refs")  # Linux: 5 sets the peak of the resident memory back
SAME = 1e-6  # of a pixel, up to which two pictures are the same
COLUMNS = ("what", "ours", "torchattacks", "foolbox")


def main() -> None:
    """Make the environment and run the comparison in it; or, there, compare."""
    given = common.options(
        __doc__, threads=1, run="folder of a classifier of MNIST; otherwise one is trained",
        peers="folder of the environment of the peers", inner="compare, in the environment of the peers",
        count="pictures (default 256)", only=f"of {', '.join(MAKERS)} (default: the first two)",
        eps="largest change of a pixel (default 0.1), or in l2 of the picture (1.5)",
        strength="yes: compare what they leave alone, each run once", side="print the MiB that this side takes",
    )  # fmt: skip
    chosen = given.only.split(",") if given.only else list(TIMED)
    if unknown := [name for name in chosen if name not in MAKERS]:
        sys.exit(f"--only {given.only}: there is no {', '.join(unknown)}, but {', '.join(MAKERS)}")
    if given.inner:
        inner(given, chosen)
        return
    with TemporaryDirectory() as folder:
        python = common.environment(Path(given.peers or folder) / "peers", PEERS, NEEDED)
        run = given.run or trained(Path(folder), given)
        words = [str(python), __file__, "--inner", "yes", "--run", run, "--threads", str(given.threads)]
        words += ["--quick"] * given.quick
        for name in ("count", "eps", "strength"):
            words += [f"--{name}", getattr(given, name)] if getattr(given, name) else []
        _, printed = common.child([*words, "--only", ",".join(chosen)])
        rows, table = json.loads(printed.splitlines()[-1])
        for what in [] if given.strength else [name for name in chosen if name in TIMED]:
            rows += remembered([*words, "--only", what], what)
    if rows:
        common.show(rows, given)
    if table:
        common.show(table, given, COLUMNS)


def trained(folder: Path, given: Namespace) -> str:
    """Return the run of a LeNet-5 that was trained for two epochs."""
    data = common.data_name(given.quick)
    words = ["train", "model=lenet", f"data={data}", "epochs=2", f"paths.outputs={folder}/outputs", "device=cpu"]
    common.child([sys.executable, "-m", "dlcli", *words, f"device.threads={given.threads}"])
    (run,) = (folder / "outputs").glob("*/*")
    return str(run)


def inner(given: Namespace, chosen: list[str]) -> None:
    """Run one side, or print the rows of both tables: of what is timed, and of what is not."""
    import torch

    torch.set_num_threads(given.threads)
    net, x, y = scene(given)
    if given.side:
        print(growth(MAKERS[chosen[0]](net, size(given, chosen[0]))[given.side], x, y))
        return
    timed = [] if given.strength else [what for what in chosen if what in TIMED]
    rows = [row for what in timed for row in compare(what, given, net, x, y)]
    print(json.dumps([rows, [left(what, given, net, x, y) for what in chosen if what not in timed]]))


def size(given: Namespace, what: str) -> float:
    """Return the size that an attack is given."""
    return float(given.eps or SIZES.get(what, 0.1))


def compare(what: str, given: Namespace, net: Any, x: Any, y: Any) -> list[list[str]]:
    """Return the rows of an attack that is timed."""
    sides, found = MAKERS[what](net, size(given, what)), dict[str, Any]()
    acts = [partial(common.timed, partial(keep, found, name, act, x, y)) for name, act in sides.items()]
    for act in sides.values():
        act(x[:8], y[:8])  # the first call of a kernel is slow
    spent = dict(zip(sides, common.in_turn(acts, 1 if given.quick else 3), strict=True))
    rows = []
    for name in list(sides)[1:]:
        note = f"{judged(net, x, y, found['ours'], what)} / {judged(net, x, y, found[name], what)}"
        rows.append(common.compare(f"{what} on {len(x)} pictures, {name}", spent["ours"], spent[name], note))
    return rows


def left(what: str, given: Namespace, net: Any, x: Any, y: Any) -> list[str]:
    """Return the row of an attack that is judged by what it leaves; from one start, by where the walks end too."""
    found: dict[str, Any] = {}
    for name, act in MAKERS[what](net, size(given, what)).items():
        keep(found, name, act, x, y)
    cells = {name: judged(net, x, y, moved, what) for name, moved in found.items()}
    if what == "PGD-40-still":
        for name in list(found)[1:]:
            far = (found[name] - found["ours"]).abs().flatten(1).amax(1)
            cells[name] += f"; {int((far <= SAME).sum())} of {len(x)} the same picture"
    bound = "any size" if what in NEAREST else f"eps {size(given, what):g}"
    return [f"{what}, {bound}, {len(x)} pictures", *(cells.get(name, "-") for name in COLUMNS[1:])]


def keep(found: dict[str, Any], name: str, act: Callable[..., Any], x: Any, y: Any) -> None:
    """Run an attack and remember its pictures; the peers draw from the stream of all."""
    import torch

    torch.manual_seed(0)
    found[name] = act(x, y)


def remembered(words: list[str], what: str) -> list[list[str]]:
    """Return the rows of the memory that each side takes in a process of its own, where the system tells it."""
    if not PEAK.exists():
        return []
    ours, *others = (float(common.child([*words, "--side", side])[1].splitlines()[-1]) for side in COLUMNS[1:])
    return [
        [f"{what}, {name}: memory", f"{ours:.1f} MiB", f"{it:.1f} MiB", f"{ours / it:.2f}" if it > 1 else "-", ""]
        for name, it in zip(COLUMNS[2:], others, strict=True)
    ]


def growth(act: Callable[..., Any], x: Any, y: Any) -> float:
    """Return by how many MiB the resident memory grows at most while an attack runs, after a first call on a few."""
    act(x[:8], y[:8])
    PEAK.write_text("5")  # from here on the peak is that of the attack, not that of reading the data
    before = resident("VmRSS")
    act(x, y)
    return resident("VmHWM") - before


def resident(key: str) -> float:
    """Return the resident memory of this process as Linux has it, in MiB: VmRSS now, VmHWM at its peak."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) / 1024


def judged(net: Any, x: Any, y: Any, moved: Any, what: str) -> str:
    """Return robust accuracy, and for the smallest changes how large they are."""
    import torch

    with torch.no_grad():
        right = net(moved).argmax(1) == y
    robust = f"robust {100 * right.double().mean():.1f} %"
    if what not in NEAREST:
        return robust
    size = (moved - x).flatten(1).norm(dim=1)[~right].tolist()
    return f"{robust}, median {statistics.median(size):.3f}, mean {statistics.mean(size):.3f}" if size else robust


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


if __name__ == "__main__":
    main()
