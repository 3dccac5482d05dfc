"""Schedules against worked numbers and against torch's own over a whole run."""

import importlib
import math
from pathlib import Path

import pytest
import torch
import yaml

from dlcli.errors import ConfigError
from dlcli.schedules import (
    Constant,
    Cosine,
    Exponential,
    InverseRoot,
    Linear,
    MultiStep,
    OneCycle,
    Plateau,
    Schedule,
    Step,
)

CONF = Path(__file__).parents[1] / "conf" / "schedule"
OPTIONS = sorted(path.stem for path in CONF.glob("*.yaml"))
STEPS = 30


def from_config(option: str) -> Schedule:
    node = yaml.safe_load((CONF / f"{option}.yaml").read_text())
    module, _, name = node.pop("_target_").rpartition(".")
    return getattr(importlib.import_module(module), name)(**node)


def twin_rates(make) -> list[float]:
    """The learning rates of a torch scheduler over a run that starts at 0.5."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    scheduler = make(optimizer)
    rates = []
    for _ in range(STEPS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


lr_scheduler = torch.optim.lr_scheduler
TWINS = {
    "linear": (Linear(end=0.1), lambda o: lr_scheduler.LinearLR(o, 1.0, 0.1, STEPS)),
    "step": (Step(period=0.1, factor=0.5), lambda o: lr_scheduler.StepLR(o, 3, 0.5)),
    "multistep": (MultiStep(milestones=[0.3, 0.7]), lambda o: lr_scheduler.MultiStepLR(o, [9, 21])),
    "exponential": (Exponential(end=0.01), lambda o: lr_scheduler.ExponentialLR(o, 0.01 ** (1 / STEPS))),
    "cosine": (Cosine(end=0.02), lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS, eta_min=0.01)),
}


@pytest.mark.parametrize("name", TWINS)
def test_a_run_has_the_rates_of_torchs_scheduler(name):
    schedule, make = TWINS[name]
    ours = [0.5 * schedule(step / STEPS) for step in range(STEPS)]
    assert ours == pytest.approx(twin_rates(make), rel=1e-9)


def test_one_cycle_has_the_rates_of_torchs_scheduler():
    # torch reaches the peak at step 0.3 * 30 - 1 and the end at the last step, 29.
    theirs = twin_rates(lambda o: lr_scheduler.OneCycleLR(o, 0.5, STEPS + 1, pct_start=0.3, cycle_momentum=False))
    schedule = OneCycle(peak=(0.3 * (STEPS + 1) - 1) / STEPS)
    assert [0.5 * schedule(step / STEPS) for step in range(STEPS)] == pytest.approx(theirs, rel=1e-9)


@pytest.mark.parametrize("goal", ["min", "max"])
def test_plateau_has_the_rates_of_torchs_scheduler(goal):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    twin = lr_scheduler.ReduceLROnPlateau(optimizer, mode=goal, factor=0.5, patience=2, threshold=0.01)
    schedule = Plateau(factor=0.5, patience=2, threshold=0.01)
    sign = 1 if goal == "min" else -1
    scores = [2.0 + sign * (1 / (1 + t) + 0.3 * math.sin(t) * (t > 8) - 0.02 * (t > 20)) for t in range(40)]
    ours, theirs = [], []
    for score in scores:
        schedule.observe(sign * score)  # the lower the better
        twin.step(score)
        ours.append(0.5 * schedule(0.5))
        theirs.append(optimizer.param_groups[0]["lr"])
    assert ours == pytest.approx(theirs)
    assert len(set(ours)) >= 4


def test_plateau_forgives_exactly_its_patience():
    schedule = Plateau(patience=2, factor=0.1)
    factors = []
    for score in [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]:
        schedule.observe(score)
        factors.append(schedule(0.0))
    assert factors == pytest.approx([1, 1, 1, 0.1, 0.1, 0.1, 0.01])


def test_plateau_takes_a_lower_negative_loss_for_progress_and_a_higher_one_not():
    schedule = Plateau(patience=0, threshold=0.01)
    for score in [-1.0, -1.2, -1.5]:
        schedule.observe(score)
    assert schedule(0.0) == 1.0
    schedule.observe(-1.495)
    assert schedule(0.0) == pytest.approx(0.1)


def test_plateau_counts_nan_as_no_progress():
    schedule = Plateau(patience=1)
    for score in [math.nan, math.nan]:
        schedule.observe(score)
    assert schedule(0.0) == pytest.approx(0.1)
    assert schedule.state()["best"] is None


def test_a_restored_plateau_goes_on_as_the_first_one():
    first, second = Plateau(patience=1, factor=0.5), Plateau(patience=1, factor=0.5)
    for score in [3.0, 2.0, 2.0, 2.0, 2.0]:
        first.observe(score)
    second.restore(yaml.safe_load(yaml.safe_dump(first.state())))
    for schedule in (first, second):
        schedule.observe(2.5)
    assert first.state() == second.state()
    assert first(0.2) == second(0.2) == 0.25
    assert first == second == Plateau(patience=1, factor=0.5)  # memory is no setting


def test_schedules_without_memory_keep_nothing():
    schedule = Cosine()
    before = schedule(0.3)
    schedule.observe(1.0)
    schedule.restore({})
    assert schedule.state() == {}
    assert schedule(0.3) == before


def test_warm_up_rises_in_a_straight_line_and_the_shape_follows_compressed():
    schedule = Linear(warmup=0.2)
    assert [schedule(p) for p in (0.0, 0.1, 0.2, 0.6, 1.0)] == pytest.approx([0.01, 0.505, 1.0, 0.5, 0.0])
    assert schedule(0.2 - 1e-12) == pytest.approx(schedule(0.2))  # no jump where the two meet


def test_the_inverse_root_is_the_formula_of_its_paper():
    steps, warm, width = 1000, 100, 512
    paper = [width**-0.5 * min(step**-0.5, step * warm**-1.5) for step in range(1, steps)]
    ours = [InverseRoot(warmup=warm / steps)(step / steps) for step in range(1, steps)]
    peak = (width * warm) ** -0.5
    assert ours[warm - 1 :] == pytest.approx([rate / peak for rate in paper[warm - 1 :]])
    rise = [rate / peak for rate in paper[: warm - 1]]
    assert ours[: warm - 1] == pytest.approx(rise, abs=0.01)  # ours starts at 0.01
    with pytest.raises(ConfigError, match=r"schedule.warmup=0.0 must be a share of the run in \(0, 1\)"):
        InverseRoot(warmup=0.0)


def test_warm_up_goes_in_front_of_a_shape_that_starts_low_without_a_jump():
    schedule = OneCycle(warmup=0.1, start=0.2)
    assert schedule(0.0) == pytest.approx(0.002)
    assert schedule(0.1 - 1e-12) == pytest.approx(schedule(0.1)) == pytest.approx(0.2)


def test_warm_up_scales_with_what_a_plateau_has_cut():
    schedule = Plateau(warmup=0.5, patience=0, factor=0.5)
    for score in [1.0, 1.0]:
        schedule.observe(score)
    assert schedule(0.25) == pytest.approx(0.5 * 0.505)


def test_one_cycle_by_hand():
    schedule = OneCycle(peak=0.25, start=0.1, end=0.0)
    assert [schedule(p) for p in (0, 0.125, 0.25, 0.625, 1)] == pytest.approx([0.1, 0.55, 1.0, 0.5, 0.0])


def test_the_config_offers_every_shape():
    named = {type(from_config(option)) for option in OPTIONS}
    known = {"constant", "cosine", "exponential", "linear", "multistep", "noam", "onecycle", "plateau", "step"}
    assert set(OPTIONS) == known
    assert named == {Constant, Cosine, Exponential, InverseRoot, Linear, MultiStep, OneCycle, Plateau, Step}


@pytest.mark.parametrize("option", OPTIONS)
def test_no_step_of_a_run_has_a_rate_of_zero_and_none_exceeds_the_rate(option):
    factors = [from_config(option)(step / STEPS) for step in range(STEPS)]
    assert all(0 < factor <= 1 for factor in factors)


@pytest.mark.parametrize("option", OPTIONS)
def test_every_config_lists_each_field_of_its_schedule(option):
    keys = yaml.safe_load((CONF / f"{option}.yaml").read_text()).keys() - {"_target_"}
    fields = from_config(option).__dataclass_fields__
    assert keys == {name for name, field in fields.items() if field.init}


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: Constant(warmup=1.0), "warmup"),
        (lambda: Constant(warmup=-0.1), "warmup"),
        (lambda: Constant(warmup=math.nan), "warmup"),
        (lambda: Linear(end=-0.1), "end"),
        (lambda: Cosine(end=math.inf), "end"),
        (lambda: Exponential(end=0.0), "end"),
        (lambda: Step(period=0.0), "period"),
        (lambda: Step(period=1.5), "period"),
        (lambda: Step(period=0.5, factor=0.0), "factor"),
        (lambda: MultiStep(milestones=[]), "milestones"),
        (lambda: MultiStep(milestones=[0.7, 0.3]), "milestones"),
        (lambda: MultiStep(milestones=[0.5, 1.0]), "milestones"),
        (lambda: OneCycle(peak=1.0), "peak"),
        (lambda: OneCycle(start=0.0), "start"),
        (lambda: Plateau(factor=1.0), "factor"),
        (lambda: Plateau(patience=-1), "patience"),
        (lambda: Plateau(threshold=1.0), "threshold"),
    ],
)
def test_a_value_out_of_range_is_refused_with_key_rule_and_example(make, key):
    with pytest.raises(ConfigError, match=rf"schedule\.{key}=.* must be .*; for example schedule\.{key}="):
        make()
