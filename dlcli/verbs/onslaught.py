"""`dl attack -m`: one run under every combination of listed values; a table at the end, what failed said, all kept.

`attacks/sweeps/NAME` of the run has a ledger as a sweep of trainings has, `sweep.csv`, and for each attack a folder
`job-N` with its pairs, pictures and reports; `worst-case.json` has what all of them together leave. The same command
makes what is not there yet.
"""

import os
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from dlcli import disk, jsonfile
from dlcli.config.check import check
from dlcli.errors import DlError, RefusedError
from dlcli.lock import held
from dlcli.run import Run, brief
from dlcli.sweep import summary
from dlcli.sweep.axes import axes, grid
from dlcli.sweep.folder import folder
from dlcli.sweep.ledger import Ledger
from dlcli.verbs.attack import attack
from dlcli.verbs.common import writable

TOLD = ("clean_accuracy", "robust_accuracy", "success_rate")


def onslaught(run: Run, words: Sequence[str]) -> None:
    """Make the attacks that are not done, the strongest first in the table. Raises SweepError that lists failures."""
    _ = run.record  # refuses what is no run, or leads out of it
    jobs = grid(axes(words))
    place = folder(run / "attacks", [*words, f"at={run.at}"], axes(words), again=False)
    if not place.resolve().is_relative_to(run.path.resolve()):
        raise RefusedError(f"{place}: leads out of the run through a link; put the real thing there")
    with held(place):
        ledger = Ledger(place)
        todo = ledger.enlist(jobs)
        print(f"attacks on {run}: {len(jobs)} ({len(jobs) - len(todo)} done before), kept in {brief(place)}")
        try:
            for number in todo:
                one(run, ledger, number)
        finally:
            summary.show(ledger)
            together(ledger)
        summary.verdict(ledger)


def one(run: Run, ledger: Ledger, number: int) -> None:
    """Make one attack, and write what became of it into the ledger; its failure does not end the others."""
    words = ledger.rows()[number]["overrides"]
    print(f"\njob {number}: {' '.join(words)}")
    ledger.note(number, "running", pid=os.getpid())
    try:
        scores = kept(run, words, ledger.folder / f"job-{number}")
    except KeyboardInterrupt:
        ledger.note(number, "interrupted")
        raise
    except Exception as error:
        print(f"job {number} failed: {error}")
        disk.write(ledger.log(number), traceback.format_exc().encode())
        ledger.note(number, "failed", code=getattr(error, "code", DlError.code), error=str(error))
    else:
        ledger.note(number, "done", scores=scores, monitor="robust_accuracy", rising=False)


def kept(run: Run, words: Sequence[str], out: Path) -> dict[str, float]:
    """Attack, keep reports of all sizes, and return the numbers of the one that left least."""
    config: Any = OmegaConf.to_container(check("attack", words), resolve=True)
    reports = attack(run, config | {"out": str(Path(config["out"]) / out.name if config["out"] else out)})
    with writable(out):  # where the pairs do not go if the command names another folder
        for report in reports:
            disk.write(out / f"{report['name']}.json", jsonfile.encode(report))
    worst = min(reports, key=lambda report: report["robust_accuracy"])
    return {name: worst[name] for name in TOLD}


def together(ledger: Ledger) -> None:
    """Print and keep what all attacks on the same pictures leave: a mean of worst cases, not the worst of the means."""
    done = [number for number, row in ledger.rows().items() if row["state"] == "done"]
    reports = [jsonfile.read(path) for number in done for path in sorted(ledger.folder.glob(f"job-{number}/*.json"))]
    groups: dict[str, list[str]] = {}
    for report in reports:
        groups.setdefault(report["pictures"], []).append(report["right"])
    found = [{"attacks": len(group), "examples": len(group[0]), "robust_accuracy": left(group)}
             for group in groups.values() if len(group) > 1]  # fmt: skip
    for group in found:
        of = f"{group['attacks']} attacks on the same {group['examples']} examples"
        print(f"all of these: robust accuracy {100 * group['robust_accuracy']:.2f} %, the worst case of each; {of}")
    disk.write(ledger.folder / "worst-case.json", jsonfile.encode({"groups": found}))


def left(rights: Sequence[str]) -> float:
    """Return the share of the examples that the net gets right under every attack; each is a text of 0 and 1."""
    return sum(set(example) == {"1"} for example in zip(*rights, strict=True)) / len(rights[0])
