"""Counter-based random numbers against SplitMix64 in Python's own integers."""

import pytest
import torch

from dlcli.attacks import ball
from dlcli.attacks.randomness import normal, uniform

WORD = (1 << 64) - 1


def splitmix(z: int) -> int:
    z = (z + 0x9E3779B97F4A7C15) & WORD
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & WORD
    return z ^ (z >> 31)


def test_the_hash_is_splitmix64():
    # The first outputs of the published generator from seed 1234567.
    state, outputs = 1234567, []
    for _ in range(3):
        outputs.append(splitmix(state))
        state = (state + 0x9E3779B97F4A7C15) & WORD
    assert outputs == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@pytest.mark.parametrize(("seed", "stream"), [(0, 0), (7, 3), (2**63 - 1, -1)])
def test_numbers_agree_with_python_integers(seed, stream):
    index = torch.tensor([0, 1, 59_999])
    ours = uniform(seed, stream, index, 5)
    for row, i in enumerate(index.tolist()):
        key = splitmix((splitmix((splitmix(seed) + stream) & WORD) + i) & WORD)
        for column in range(5):
            bits = splitmix((key + column * 0x9E3779B97F4A7C15) & WORD) >> 41
            assert ours[row, column].item() == (bits + 0.5) / 2**23


def test_numbers_are_uniform_and_never_zero_or_one():
    u = uniform(1, 0, torch.arange(1000), 1000)
    assert u.min() > 0
    assert u.max() < 1
    counts = torch.histc(u, 50, 0, 1)
    assert ((counts - 20_000) ** 2 / 20_000).sum() < 86  # 99.9 % point of chi-squared with 49 degrees of freedom
    assert normal(1, 0, torch.arange(1000), 1000).isfinite().all()


def test_normal_numbers_have_the_normals_moments():
    n = normal(2, 0, torch.arange(500), 1000).double()
    moments = torch.stack([(n**k).mean() for k in (1, 2, 3, 4)])
    torch.testing.assert_close(moments, torch.tensor([0.0, 1.0, 0.0, 3.0]).double(), rtol=0, atol=0.03)


def test_seed_stream_example_and_position_all_matter_and_nothing_correlates():
    index = torch.arange(200)
    base = uniform(0, 0, index, 500)
    others = [uniform(1, 0, index, 500), uniform(0, 1, index, 500), uniform(0, 0, index + 200, 500), base.roll(1, 1)]
    for other in others:
        assert abs(torch.corrcoef(torch.stack([base.flatten(), other.flatten()]))[0, 1]) < 0.015


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_random_starts_fill_the_ball_evenly_and_noise_lies_on_its_surface(norm):
    x, index, eps = torch.full((4000, 1, 1, 3), 0.5), torch.arange(4000), 0.2
    size = (lambda d: d.abs().amax(1)) if norm == "linf" else (lambda d: d.norm(dim=1))
    radius = size((ball.inside(x, eps, norm, 0, 0, index) - x).flatten(1)) / eps
    shares = torch.tensor([(radius <= r).float().mean() for r in (0.5, 0.8, 0.95)])
    torch.testing.assert_close(shares, torch.tensor([0.5, 0.8, 0.95]) ** 3, rtol=0, atol=0.025)
    delta = (ball.surface(x, eps, norm, 0, 0, index) - x).flatten(1)
    torch.testing.assert_close(size(delta), torch.full((4000,), eps), rtol=0, atol=1e-6)
    assert delta.mean(0).abs().max() < 0.01
