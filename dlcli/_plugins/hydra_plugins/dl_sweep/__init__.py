"""The sweeper and the launcher of `dl` as Hydra knows them; what they do stands in `dlcli.sweep`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper

from dlcli.sweep.adaptive import adapt
from dlcli.sweep.axes import axes, draws, grid
from dlcli.sweep.ledger import Ledger
from dlcli.sweep.pool import Pool, interruptible


class Search(Sweeper):
    """Find the jobs as `sweep.search` says, and launch those that are not done, with any launcher."""

    def setup(self, *, hydra_context: Any, task_function: Any, config: Any) -> None:
        """Make the launcher."""
        self.config, self.hydra_context = config, hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )
        self.ledger = Ledger(Path(config.hydra.sweep.dir))

    def sweep(self, arguments: list[str]) -> None:
        """Launch all jobs; what came out stands in the ledger."""
        assert self.config is not None
        settings, all_axes = self.config.sweep, axes(arguments)
        if settings.search == "optuna":
            adapt(settings, all_axes, self.ledger, self.launch)
        else:
            random = settings.search == "random"
            self.launch(list(draws(all_axes, settings.trials, settings.seed)) if random else grid(all_axes))

    def launch(self, jobs: list[list[str]]) -> None:
        """Launch the jobs that are not done."""
        left = self.ledger.enlist(jobs)
        rows = self.ledger.rows()
        if left and self.launcher:
            self.launcher.launch([rows[number]["overrides"] for number in left], initial_job_idx=left[0])


class Processes(Launcher):
    """Run every job in a process of its own."""

    def setup(self, *, hydra_context: Any, task_function: Any, config: Any) -> None:
        """Keep the settings."""
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs and return their scores to the sweeper."""
        ledger, settings = Ledger(Path(self.config.hydra.sweep.dir)), self.config.sweep
        with interruptible():
            Pool(ledger, settings.jobs, settings.time).run(ledger.enlist(job_overrides))
        return [outcome(ledger, list(words)) for words in job_overrides]


def outcome(ledger: Ledger, words: list[str]) -> JobReturn:
    """Return what Hydra's sweepers read: the monitored score, None where there is none."""
    row = ledger.rows()[ledger.numbers()[tuple(sorted(words))]]
    score = row.get("scores", {}).get(row.get("monitor")) if row["state"] == "done" else None
    return JobReturn(overrides=words, status=JobStatus.COMPLETED, _return_value=score)


STORE = ConfigStore.instance()
STORE.store(group="hydra/sweeper", name="search", node={"_target_": f"{__name__}.Search"}, provider="dl")
STORE.store(group="hydra/launcher", name="processes", node={"_target_": f"{__name__}.Processes"}, provider="dl")
