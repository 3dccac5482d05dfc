"""Search that learns from what came out: Optuna's tree-structured Parzen estimator by ask and tell.

Paper: Bergstra, Bardenet, Bengio, Kégl 2011, Algorithms for Hyper-Parameter Optimization. The study lies in the folder
of the sweep, so that it goes on where it stopped; a job that failed is a failed trial.
"""

import importlib.util
import math
from collections.abc import Callable, Sequence
from typing import Any

from dlcli.errors import ConfigError
from dlcli.sweep.axes import Axis
from dlcli.sweep.ledger import Ledger

Launch = Callable[[list[list[str]]], Any]


def require() -> None:
    """Raise ConfigError if Optuna is not installed."""
    if importlib.util.find_spec("optuna") is None:
        raise ConfigError("sweep=optuna needs Optuna: pip install 'dlcli[optuna]'; sweep=random does without it")


def adapt(settings: Any, all_axes: Sequence[Axis], ledger: Ledger, launch: Launch) -> None:
    """Ask for jobs, launch them, tell the study what came out, until there were so many trials."""
    study, space = open_study(ledger, settings.seed), distributions(all_axes)
    begun = [trial for trial in study.trials if not trial.state.is_finished()]
    while True:
        batch, begun = begun[: settings.jobs], begun[settings.jobs :]
        while len(batch) < settings.jobs and len(study.trials) < settings.trials:
            batch.append(study.ask(space))
        if not batch:
            return
        jobs = [assignments(all_axes, trial.params) for trial in batch]
        launch([job for job in jobs if job])
        for trial, job in zip(batch, jobs, strict=True):
            tell(study, trial.number, ledger, job)


def open_study(ledger: Ledger, seed: int) -> Any:
    """Return the study of this sweep; its sampler is seeded anew by what it knows, lest it repeat its first draws."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = JournalStorage(JournalFileBackend(str(ledger.folder / "optuna.log")))
    study = optuna.create_study(storage=storage, study_name="sweep", load_if_exists=True)
    study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials))
    return study


def distributions(all_axes: Sequence[Axis]) -> dict[str, Any]:
    """Return the axes that vary, as Optuna names such things."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: dict[str, Any] = {}
    for axis in all_axes:
        if len(axis.options) > 1:
            found[axis.key] = CategoricalDistribution(axis.options)
        elif not axis.options:
            kind: Any = IntDistribution if axis.whole else FloatDistribution
            found[axis.key] = kind(axis.low, axis.high, log=axis.log)
    return found


def assignments(all_axes: Sequence[Axis], chosen: dict[str, Any]) -> list[str]:
    """Return the overrides of a trial; none if a crash has cut it short."""
    if any(len(axis.options) != 1 and axis.key not in chosen for axis in all_axes):
        return []
    return [
        axis.options[0]
        if len(axis.options) == 1
        else chosen[axis.key]
        if axis.options
        else axis.assign(chosen[axis.key])
        for axis in all_axes
    ]


def tell(study: Any, trial: int, ledger: Ledger, job: Sequence[str]) -> None:
    """Tell the study the monitored score of a job, turned so that smaller is better."""
    from optuna.trial import TrialState

    row = ledger.rows().get(number, {}) if (number := ledger.number(job)) is not None else {}
    score = row.get("scores", {}).get(row.get("monitor"))
    if row.get("state") == "done" and isinstance(score, float) and math.isfinite(score):
        study.tell(trial, -score if row.get("rising") else score)
    else:
        study.tell(trial, state=TrialState.FAIL)
