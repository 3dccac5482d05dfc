"""`dl` as the benchmarks use it: its data, and its engine without the command around it."""

from typing import Any

from common import data_root
from torch import Tensor

from dlcli.batch import Images


def pictures(name: str) -> Images:
    """Return the training split of `mnist` or `digits`, at rest: (N, 1, 28, 28) uint8 and (N,) classes."""
    if name == "mnist":
        from dlcli.data.idx import IDX

        return IDX(folder="mnist").load(data_root()).train
    from dlcli.data.embedded import Digits

    return Digits().load(data_root()).train


def setup(model: str, data: str, *overrides: str) -> Any:
    """Return all that `dl train model=MODEL data=DATA` builds, on the CPU."""
    from dlcli.config.check import check
    from dlcli.verbs.prepare import prepare

    # the name is Hydra's choice of a model, which only `hydra.main` knows
    return prepare(check("train", [f"model={model}", f"data={data}", f"name={model}", "device=cpu", *overrides]))


def fresh(made: Any) -> Any:
    """Return a new engine with the first weights of the config."""
    from dlcli.engine.randomness import seed_all
    from dlcli.verbs.prepare import make_engine, make_model

    seed_all(made.config["seed"])
    return make_engine(made.config, make_model(made.config, made.choice.device), made.choice.device)


def net_and_loss(made: Any) -> tuple[Any, Any]:
    """Return a new model, with the first weights of the config, and its loss of (x, y)."""
    model = fresh(made).model
    return model, lambda x, y: model.loss(Images(x, y))


def learn(engine: Any, train: Any, steps: int) -> None:
    """Take so many steps as `Engine.fit` does, but score nothing at the end of an epoch."""
    from dlcli.engine.stopping import Deadline

    stop, deadline = False, Deadline(None)
    engine.clock = engine.clock._replace(steps=engine.clock.step + steps)
    while engine.clock.step < engine.clock.steps:
        engine.train_epoch(train, lambda: stop or deadline)
        if engine.position == len(train):
            engine.clock, engine.position = engine.clock._replace(epoch=engine.clock.epoch + 1), 0


def facts(made: Any) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of the pixels, as the config states them."""
    import torch

    return torch.tensor(made.config["data"]["mean"][0]), torch.tensor(made.config["data"]["std"][0])
