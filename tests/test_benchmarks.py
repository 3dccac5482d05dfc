"""What the benchmarks of attacks count: whose pictures are judged, where a walk ends, and how much memory it took."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from dlcli.attacks.pgd import PGD

HOME = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def attacks(monkeypatch):
    """Return the benchmark as a module, whose peers are not there."""
    if not HOME.exists():
        pytest.skip("the benchmarks come with the repository only")
    monkeypatch.syspath_prepend(str(HOME))
    import attacks

    yield attacks
    for name in ("attacks", "rivals", "common"):
        sys.modules.pop(name, None)


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 3))


def test_our_walk_is_compared_by_the_picture_at_its_end(attacks):
    """The best picture of a walk is what an attack returns; the peers return the last."""
    import rivals

    model, x = net(), torch.rand(20, 1, 4, 4)
    y = model(x).argmax(1)
    ends = rivals.Ends(model)
    rivals.own(ends, PGD(eps=0.2, steps=5, random_start=False))(x, y)
    here = x.clone()
    for _ in range(5):
        here = here.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(nn.functional.cross_entropy(model(here), y), here)
        here = (x + (here.detach() + 0.1 * gradient.sign() - x).clamp(-0.2, 0.2)).clamp(0, 1)
    assert torch.allclose(ends.last, here, atol=1e-6)


def test_what_is_left_is_counted_and_what_was_won_is_measured(attacks):
    model, x = net(), torch.rand(4, 1, 4, 4)
    y = model(x).argmax(1)
    assert attacks.judged(model, x, y, x, "CW") == "robust 100.0 %"
    wrong = (y + torch.tensor([1, 0, 1, 0])) % 3  # as if two of them were won
    assert attacks.judged(model, x, wrong, x, "PGD-40") == "robust 50.0 %"
    assert attacks.judged(model, x, wrong, x, "DeepFool") == "robust 50.0 %, median 0.000, mean 0.000"


def test_memory_is_what_an_attack_takes_at_its_peak_not_what_it_keeps(attacks):
    if not attacks.PEAK.exists():
        pytest.skip("only Linux tells the peak of a process")
    large = torch.zeros(2**24)  # 64 MiB, which are there before
    grown = attacks.growth(lambda x, y: (large + len(x)).sum(), torch.zeros(16), torch.zeros(16))
    assert 60 < grown < 90
    assert attacks.growth(lambda x, y: x.sum(), torch.zeros(16), torch.zeros(16)) < 20


def test_every_attack_has_a_size_or_looks_for_the_smallest(attacks):
    given = type("Given", (), {"eps": None})()
    assert {name: attacks.size(given, name) for name in ("PGD-40", "APGD-l2", "Square-l2")} == {
        "PGD-40": 0.1, "APGD-l2": 1.5, "Square-l2": 1.5,
    }  # fmt: skip
    given.eps = "0.3"
    assert attacks.size(given, "AutoAttack") == 0.3
    assert set(attacks.TIMED) | set(attacks.NEAREST) | set(attacks.SIZES) <= set(attacks.MAKERS)
