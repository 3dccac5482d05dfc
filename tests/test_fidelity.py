"""Distances between sets of examples: closed forms, brute force, other libraries, and what they are at random."""

import math

import pytest
import torch

from dlcli import fidelity

FAR = 1e9


def normal(n, mean, deviations):
    """Return numbers (N, D) whose mean and covariance are exactly these: random ones, corrected."""
    x = torch.randn(n, len(mean), dtype=torch.float64)
    x = x - x.mean(0)
    x = torch.linalg.solve_triangular(torch.linalg.cholesky(torch.cov(x.T)), x.T, upper=False).T
    return x * torch.tensor(deviations).double() + torch.tensor(mean).double()


def test_the_frechet_distance_of_normal_distributions():
    """For diagonal covariances it is |m - m'|^2 + sum (s - s')^2."""
    x, y = normal(50, [0.0, 0.0, 0.0], [1.0, 2.0, 3.0]), normal(80, [1.0, 0.0, -2.0], [2.0, 2.0, 0.5])
    assert fidelity.frechet(x, y) == pytest.approx(5 + 1 + 0 + 6.25, rel=1e-9)
    assert fidelity.frechet(x, x) == pytest.approx(0, abs=1e-9)
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64)).Q  # a rotation changes no distance
    assert fidelity.frechet(x @ turn, y @ turn) == pytest.approx(12.25, rel=1e-9)


def test_the_frechet_distance_equals_that_of_the_matrix_root():
    linalg = pytest.importorskip("scipy.linalg")
    x, y = torch.randn(60, 5) @ torch.randn(5, 5), torch.randn(40, 5) @ torch.randn(5, 5) + 1
    first, second = torch.cov(x.double().T).numpy(), torch.cov(y.double().T).numpy()
    root = linalg.sqrtm(first @ second).real
    apart = (x.double().mean(0) - y.double().mean(0)).square().sum().item()
    assert fidelity.frechet(x, y) == pytest.approx(apart + (first + second - 2 * root).trace(), rel=1e-8)


def test_the_frechet_distance_of_few_examples_is_that_of_their_covariances():
    x, y = torch.randn(30, 40), 1 + 2 * torch.randn(35, 40)
    double = torch.cat([x, x]), torch.cat([y, y])  # the same means; the same covariances but for N - 1
    few, many = fidelity.frechet(x, y), fidelity.frechet(*double)
    first, second = (torch.cov(side.double().T) for side in (x, y))
    cross = torch.linalg.svdvals(fidelity.root(first) @ fidelity.root(second)).sum()
    apart = (x.double().mean(0) - y.double().mean(0)).square().sum()
    assert few == pytest.approx((apart + first.trace() + second.trace() - 2 * cross).item(), rel=1e-6)
    assert many == pytest.approx(few, rel=0.05)  # 60 and 70 examples take the other route


def test_the_frechet_distance_of_fewer_examples_than_features_is_finite():
    x = torch.randn(10, 30)
    assert fidelity.frechet(x, x) == pytest.approx(0, abs=1e-6)
    assert fidelity.frechet(x[:, :1], x[:, :1] + 2) == pytest.approx(4, rel=1e-5)  # a single feature


def brute(x, y, kernel):
    """Return the unbiased MMD^2, pair by pair."""
    inner = [sum(kernel(a, b) for i, a in enumerate(s) for j, b in enumerate(s) if i != j) for s in (x, y)]
    n, m = len(x), len(y)
    cross = sum(kernel(a, b) for a in x for b in y)
    return inner[0] / n / (n - 1) + inner[1] / m / (m - 1) - 2 * cross / n / m


def test_mmd_pair_by_pair(monkeypatch):
    monkeypatch.setattr(fidelity, "AT_ONCE", 4)  # several parts
    x, y = torch.randn(9, 3).double(), torch.randn(7, 3).double() + 0.5
    by_hand = brute(x, y, lambda a, b: ((a @ b).item() / 3 + 1) ** 3)
    assert fidelity.squared_mmd(x, y, fidelity.cubic) == pytest.approx(by_hand, rel=1e-9)
    by_hand = brute(x, y, lambda a, b: math.exp(-(a - b).square().sum().item() / 8))
    assert fidelity.squared_mmd(x, y, fidelity.gaussian(2.0)) == pytest.approx(by_hand, rel=1e-9)


def test_a_worked_mmd():
    """With k(x, y) = (xy + 1)^3, x = (0, 1), y = (0, 1): 1 + 1 - 2 (1 + 1 + 1 + 8) / 4 = -3.5: below zero by chance."""
    x = torch.tensor([[0.0], [1.0]])
    assert fidelity.squared_mmd(x, x, fidelity.cubic) == pytest.approx(-3.5)


def test_two_halves_of_one_set_are_nothing_apart_on_average():
    found = torch.tensor([fidelity.squared_mmd(*torch.randn(2, 40, 4).unbind(), fidelity.cubic) for _ in range(300)])
    assert found.mean().abs() < 3 * found.std() / 300**0.5
    assert (found < 0).any()
    assert (found > 0).any()
    other = [fidelity.squared_mmd(torch.randn(40, 4), torch.randn(40, 4) + 1, fidelity.cubic) for _ in range(20)]
    assert min(other) > found.mean() + 3 * found.std()


def test_the_width_of_a_kernel():
    assert fidelity.median_distance(torch.tensor([[0.0], [1.0], [4.0]])) == 3
    assert fidelity.median_distance(torch.zeros(5, 2)) == 1


def test_precision_recall_density_and_coverage_of_a_worked_example():
    """Real 0, 1, 3 with k = 1: balls 1, 1, 2. Samples 0.5, 10: 0.5 lies in the balls of 0 and 1; balls 9.5, 9.5."""
    real, samples = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([[0.5], [10.0]])
    found = fidelity.neighbourhoods(real, samples, k=1)
    assert found == pytest.approx({"precision": 0.5, "recall": 1.0, "density": 1.0, "coverage": 2 / 3})


def test_precision_recall_density_and_coverage_by_brute_force(monkeypatch):
    monkeypatch.setattr(fidelity, "AT_ONCE", 8)
    x, y, k = torch.randn(30, 2), 0.6 * torch.randn(20, 2) + 0.7, 3
    around = [[sorted((a - b).norm().item() for b in s)[k] for a in s] for s in (x, y)]
    inside = [[(a - b).norm().item() < around[0][j] for j, b in enumerate(x)] for a in y]
    lies = [any((a - b).norm().item() < around[1][i] for i, b in enumerate(y)) for a in x]
    expected = {
        "precision": sum(map(any, inside)) / 20,
        "recall": sum(lies) / 30,
        "density": sum(map(sum, inside)) / 20 / k,
        "coverage": sum(any(row[j] for row in inside) for j in range(30)) / 30,
    }
    assert fidelity.neighbourhoods(x, y, k) == pytest.approx(expected)
    assert 0 < expected["recall"] < 1
    assert 0 < expected["coverage"] < 1


def test_collapse_shows_in_recall_and_coverage_but_not_in_precision():
    x, collapsed = torch.randn(400, 4), 0.01 * torch.randn(400, 4)
    found = fidelity.neighbourhoods(x, collapsed)
    assert found["precision"] > 0.9
    assert found["recall"] < 0.1
    assert found["coverage"] < 0.3
    same = fidelity.neighbourhoods(x, torch.randn(400, 4))
    assert min(same.values()) > 0.75
    assert same["coverage"] > 0.9


def test_a_fresh_critic_can_tell_or_cannot():
    x = torch.randn(600, 5)
    assert fidelity.separability(x, torch.randn(600, 5)) == pytest.approx(0.5, abs=0.07)
    assert fidelity.separability(x, torch.randn(600, 5) + 5) == 1.0
    assert fidelity.separability(x, torch.randn(60, 5)) == pytest.approx(0.5, abs=0.12)  # ten times as many real ones


def test_the_closest_pairs(monkeypatch):
    monkeypatch.setattr(fidelity, "AT_ONCE", 3)
    x = torch.tensor([[0.0], [10.0], [10.5], [30.0], [31.0], [50.0], [51.5], [80.0]])
    away, rows = fidelity.closest(x, 3)
    assert away.tolist() == pytest.approx([0.5, 1.0, 1.5])
    assert rows.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert fidelity.collisions(x, 1.2) == 2
    assert len(fidelity.closest(x[:3], 10)[0]) == 3  # there are no more


def test_birthdays_tell_how_many_different_samples_there_are():
    drawn = torch.randint(50, (200,))
    kinds = torch.randn(50, 6)
    total = 200 * 199 / 2
    assert total / fidelity.collisions(kinds[drawn], 0.01) == pytest.approx(50, rel=0.25)


def test_nearest_others():
    away, rows = fidelity.nearest(torch.tensor([[0.0, 0.0], [5.0, 5.0]]), torch.tensor([[3.0, 4.0], [5.0, 6.0]]))
    assert away.tolist() == [5.0, 1.0]
    assert rows.tolist() == [0, 1]


def test_modes_that_are_covered():
    centres = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    points = torch.tensor([[0.0, 0.29], [0.0, 0.31], [1.0, 0.1], [0.9, 0.0]])
    assert fidelity.modes(points, centres, 0.1) == {"modes": 2.0, "good": 0.75}
    assert fidelity.modes(points + FAR, centres, 0.1) == {"modes": 0.0, "good": 0.0}


def test_shares_of_classes():
    assert fidelity.shares(torch.tensor([0, 2, 2, 2]), 3).tolist() == [0.25, 0, 0.75]
    assert fidelity.imbalance(torch.tensor([0, 0, 0, 1]), torch.tensor([0, 1]), 2) == 0.25
