"""Every optimizer option: it descends, and it steps as its paper says."""

import importlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor, nn

CONF = Path(__file__).parents[1] / "conf" / "optimizer"
OPTIONS = sorted(path.stem for path in CONF.glob("*.yaml"))
STEPS = 8


def settings(option: str, **changes) -> tuple[type, dict]:
    """The class and keyword arguments of an option, some of them changed."""
    node = yaml.safe_load((CONF / f"{option}.yaml").read_text())
    assert node.pop("_partial_") is True
    module, _, name = node.pop("_target_").rpartition(".")
    assert not changes.keys() - node.keys()
    return getattr(importlib.import_module(module), name), node | changes


def make(option: str, params, **changes) -> torch.optim.Optimizer:
    kind, values = settings(option, **changes)
    return kind(list(params), **values)


def descend(optimizer: torch.optim.Optimizer, loss: Callable[[], Tensor], steps: int) -> float:
    """Take steps whose rate falls in a straight line to zero, and return the last loss."""
    rates = [group["lr"] for group in optimizer.param_groups]
    for step in range(steps):
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * (1 - step / steps)
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    return loss().item()


def path(option: str, start, gradients, **changes) -> np.ndarray:
    """The points that an optimizer visits under given gradients, in float64."""
    w = nn.Parameter(torch.tensor(start, dtype=torch.float64))
    optimizer = make(option, [w], **changes)
    visited = []
    for g in gradients:
        w.grad = torch.tensor(g, dtype=torch.float64) if not callable(g) else torch.tensor(g(w.detach().numpy()))
        optimizer.step()
        visited.append(w.detach().numpy().copy())
    return np.array(visited)


def test_every_option_is_here():
    assert sorted(BOWL) == OPTIONS


# ---- descent ----

BOWL = {  # learning rates tuned for a bowl of curvatures 1 to 4; the ravine's for 1 and 100
    "adagrad": (1.0, 2.0),
    "adam": (0.1, 0.5),
    "adam_gan": (0.1, 0.5),
    "adamw": (0.1, 0.5),
    "momentum": (0.05, 0.005),
    "muon": (0.2, 0.2),
    "nesterov": (0.05, 0.005),
    "rmsprop": (0.05, 0.02),
    "rprop": (0.01, 0.01),
    "sgd": (0.2, 0.015),
}


def without_decay(option: str) -> dict:
    return {"weight_decay": 0.0} if "weight_decay" in settings(option)[1] else {}


@pytest.mark.parametrize("option", OPTIONS)
def test_minimizes_a_convex_bowl(option):
    generator = torch.Generator().manual_seed(0)
    bottom = torch.randn(3, 4, generator=generator)
    curvature = torch.linspace(1, 4, 12).view(3, 4)
    w = nn.Parameter(torch.zeros(3, 4))
    optimizer = make(option, [w], lr=BOWL[option][0], **without_decay(option))
    assert descend(optimizer, lambda: 0.5 * (curvature * (w - bottom) ** 2).sum(), 300) < 1e-4
    assert (w - bottom).abs().max().item() < 0.01


@pytest.mark.parametrize("option", OPTIONS)
def test_gets_down_a_ravine(option):
    # Condition number 100, turned by 45 degrees, so that no rate per axis can help.
    turn = torch.tensor([[1.0, -1.0], [1.0, 1.0]]) / 2**0.5
    w = nn.Parameter(torch.tensor([[4.0, -1.0]]))
    optimizer = make(option, [w], lr=BOWL[option][1], **without_decay(option))
    loss = lambda: 0.5 * (torch.tensor([1.0, 100.0]) * (w @ turn) ** 2).sum()  # noqa: E731
    start = loss().item()
    assert descend(optimizer, loss, 500) < 1e-3 * start


def test_momentum_crosses_a_ravine_in_fewer_steps_than_plain_descent():
    def steps_needed(option: str) -> int:
        w = nn.Parameter(torch.tensor([10.0, 1.0]))
        optimizer = make(option, [w], lr=0.015)
        for step in range(2000):
            loss = 0.5 * (torch.tensor([1.0, 100.0]) * w**2).sum()
            if loss.item() < 1e-3:
                return step
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return 2000

    assert 3 * steps_needed("momentum") < steps_needed("sgd") < 2000


# ---- updates by hand ----

GRADIENTS = np.random.default_rng(0).normal(size=(STEPS, 3))
START = [0.5, -1.0, 2.0]


def sgd_by_hand(lr, a=0.0):
    w = np.array(START)
    for g in GRADIENTS:
        w = w - lr * (a * w + g)
        yield w


def momentum_by_hand(lr, mu, a=0.0):
    """v = mu v - lr grad, w = w + v: the textbook velocity, which is -lr times torch's buffer."""
    w, v = np.array(START), np.zeros(3)
    for g in GRADIENTS:
        v = mu * v - lr * (g + a * w)
        w = w + v
        yield w


def adagrad_by_hand(lr, eps):
    w, total = np.array(START), np.zeros(3)
    for g in GRADIENTS:
        total = total + g**2
        w = w - lr * g / (np.sqrt(total) + eps)
        yield w


def rmsprop_by_hand(lr, alpha, eps):
    w, mean = np.array(START), np.zeros(3)
    for g in GRADIENTS:
        mean = alpha * mean + (1 - alpha) * g**2
        w = w - lr * g / (np.sqrt(mean) + eps)
        yield w


def rprop_by_hand(lr, etas, bounds):
    """Riedmiller's variant: after a flip of sign the step shrinks, and the weight waits for one step."""
    w, step, before = np.array(START), np.full(3, lr), np.zeros(3)
    for g in GRADIENTS:
        agreement = np.sign(g * before)
        step = np.clip(step * np.choose(agreement.astype(int) + 1, [etas[0], 1.0, etas[1]]), *bounds)
        g = np.where(agreement < 0, 0, g)
        w = w - np.sign(g) * step
        before = g
        yield w


def adam_by_hand(lr, betas, eps, decoupled=0.0):
    """Algorithm 1 of Kingma and Ba, with the decay of Loshchilov and Hutter in front."""
    w, m, v = np.array(START), np.zeros(3), np.zeros(3)
    for t, g in enumerate(GRADIENTS, 1):
        w = w - lr * decoupled * w
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        w = w - lr * (m / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
        yield w


BY_HAND = {
    "sgd": lambda s: sgd_by_hand(s["lr"]),
    "momentum": lambda s: momentum_by_hand(s["lr"], s["momentum"]),
    "adagrad": lambda s: adagrad_by_hand(s["lr"], s["eps"]),
    "rmsprop": lambda s: rmsprop_by_hand(s["lr"], s["alpha"], s["eps"]),
    "rprop": lambda s: rprop_by_hand(s["lr"], s["etas"], s["step_sizes"]),
    "adam": lambda s: adam_by_hand(s["lr"], s["betas"], s["eps"]),
    "adam_gan": lambda s: adam_by_hand(s["lr"], s["betas"], s["eps"]),
    "adamw": lambda s: adam_by_hand(s["lr"], s["betas"], s["eps"], s["weight_decay"]),
    "muon": lambda s: adam_by_hand(s["lr"], s["betas"], 1e-8, s["weight_decay"]),  # a vector
}


@pytest.mark.parametrize("option", BY_HAND)
def test_steps_as_by_hand(option):
    expected = np.array(list(BY_HAND[option](settings(option)[1])))
    np.testing.assert_allclose(path(option, START, GRADIENTS), expected, rtol=0, atol=1e-9)


def test_rprop_sees_flips_kept_signs_and_pauses_in_this_run():
    moves = np.diff(np.vstack([START, path("rprop", START, GRADIENTS)]), axis=0)
    assert (moves == 0).any()
    assert len(np.unique(np.abs(moves).round(9))) > 3


def test_nesterov_takes_the_gradient_where_the_momentum_leads():
    # Sutskever's form: v = mu v - lr f'(w + mu v), w = w + v. Torch keeps the point ahead, u = w + mu v, instead.
    curvature, lr, mu = np.array([1.0, 10.0, 3.0]), 0.01, 0.9
    w, v, ahead = np.array(START), np.zeros(3), []
    for _ in range(STEPS):
        v = mu * v - lr * curvature * (w + mu * v)
        w = w + v
        ahead.append(w + mu * v)
    theirs = path("nesterov", START, [lambda u: curvature * u] * STEPS)
    np.testing.assert_allclose(theirs, ahead, rtol=0, atol=1e-12)


def test_the_velocity_under_a_constant_gradient_tends_to_its_limit():
    g = np.array([0.3, -1.0, 2.0])
    visited = path("momentum", START, [g] * 300)
    np.testing.assert_allclose(visited[-1] - visited[-2], -0.01 * g / (1 - 0.9), rtol=1e-9)
    assert abs(visited[0] - START)[2] == pytest.approx(0.02)  # the first step is ten times shorter


@pytest.mark.parametrize("option", ["sgd", "momentum"])
def test_weight_decay_adds_to_the_gradient(option):
    s = settings(option, weight_decay=0.2)[1]
    expected = list(momentum_by_hand(s["lr"], s.get("momentum", 0.0), 0.2))
    visited = path(option, START, GRADIENTS, weight_decay=0.2)
    np.testing.assert_allclose(visited, expected, rtol=0, atol=1e-12)
    # A single step by numbers: 2 - 0.1 (0.2 * 2 + 1) = 1.86.
    assert path("sgd", [2.0], [[1.0]], lr=0.1, weight_decay=0.2)[0] == pytest.approx(1.86)


def test_decoupled_decay_shrinks_weights_without_a_gradient_and_coupled_decay_rescales_it():
    zero = [[0.0]] * 5
    assert path("adamw", [2.0], zero, weight_decay=0.1)[-1] == pytest.approx(2 * (1 - 1e-4) ** 5)
    assert path("adam", [2.0], zero, weight_decay=0.1)[-1] == pytest.approx(2 - 5e-3, abs=1e-5)  # a full step each


def test_batch_gradient_descent_is_sgd_on_the_whole_set():
    x, y = torch.randn(20, 3, generator=torch.Generator().manual_seed(0)), torch.ones(20)
    w = nn.Parameter(torch.zeros(3))
    optimizer = make("sgd", [w])
    by_hand = np.zeros(3)
    for _ in range(5):
        optimizer.zero_grad()
        ((x @ w - y) ** 2).mean().backward()
        optimizer.step()
        by_hand = by_hand - 0.1 * 2 * x.numpy().T @ (x.numpy() @ by_hand - 1) / 20
    np.testing.assert_allclose(w.detach().numpy(), by_hand, atol=1e-6)
