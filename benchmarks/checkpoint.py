"""What a checkpoint costs: one save of everything (weights, best weights, optimizer, random streams) against an epoch.

LeNet-5 on MNIST, batch 64. A save ends when the files are on the disk (fsync); TMPDIR chooses which.
"""

import tempfile
from pathlib import Path
from typing import Any

import common


def main() -> None:
    """Compare saves and epochs in turn."""
    given = common.options(__doc__)
    import ours
    import torch

    from dlcli.engine.signals import Stop
    from dlcli.engine.store import Store
    from dlcli.run import Run
    from dlcli.verbs.keeper import Keeper

    torch.set_num_threads(given.threads)
    name = common.data_name(given.quick)
    made = ours.setup("lenet", name)
    engine, steps = made.engine, len(made.train)
    ours.learn(engine, made.train, 5)  # warm-up: the optimizer has its state then
    engine.best_weights = engine.weights()
    with tempfile.TemporaryDirectory() as outputs:
        run = Run.create(Path(outputs), "benchmark", {"config": made.config})
        keeper = Keeper(run, engine, Store(run / "checkpoints"), made.config["save"], Stop())
        keeper.save("running")

        def save() -> float:
            return common.timed(lambda: keeper.save("running"))

        def epoch() -> float:
            return common.timed(lambda: ours.learn(engine, made.train, steps))

        saves, epochs = common.in_turn([save, epoch], 2 if given.quick else 5)
        note = f"{size(run) / 2**20:.2f} MiB; ratio is to an epoch"
    common.show([common.compare(f"a save, an epoch of lenet on {name}", saves, epochs, note)], given)


def size(run: Any) -> int:
    """Return the bytes of a run's checkpoints."""
    return sum(path.stat().st_size for path in (run / "checkpoints").glob("*.safetensors"))


if __name__ == "__main__":
    main()
