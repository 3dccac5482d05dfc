"""The losses of GANs: at the equilibrium, by sign, against cross-entropy, against written-out numbers."""

import math

import pytest
import torch
import torch.nn.functional as F

from dlcli.objectives import Hinge, LeastSquares, Minimax, Nonsaturating, Wasserstein

ALL = [Minimax(), Nonsaturating(), Wasserstein(), LeastSquares(), Hinge()]
REAL, FAKE = torch.tensor([0.5, -1.0, 2.0]).double(), torch.tensor([0.25, 1.5, -3.0]).double()

# each from the formula in the docstring, such as (0.25 + 4 + 1) / 3 + (0.0625 + 2.25 + 9) / 3 for least squares
WORTH = {
    "Minimax": (
        sum(math.log(1 + math.exp(-r)) for r in (0.5, -1.0, 2.0)) / 3
        + sum(math.log(1 + math.exp(f)) for f in (0.25, 1.5, -3.0)) / 3,
        -sum(math.log(1 + math.exp(f)) for f in (0.25, 1.5, -3.0)) / 3,
    ),
    "Wasserstein": (-1.25 / 3 - 1.5 / 3, 1.25 / 3),
    "LeastSquares": (5.25 / 3 + 11.3125 / 3, (0.5625 + 0.25 + 16.0) / 3),
    "Hinge": ((0.5 + 2.0 + 0.0) / 3 + (1.25 + 2.5 + 0.0) / 3, 1.25 / 3),
}


def test_the_minimax_losses_at_the_equilibrium():
    even = torch.zeros(4).double()
    assert Minimax().critic(even, even).item() == pytest.approx(2 * math.log(2), abs=1e-15)
    assert Minimax().generator(even).item() == pytest.approx(-math.log(2), abs=1e-15)
    assert Nonsaturating().generator(even).item() == pytest.approx(math.log(2), abs=1e-15)
    value = -Minimax().critic(even, even)
    assert value.item() == pytest.approx(2 * math.log(0.5), abs=1e-15)  # V = -1.386 at D = 1/2


@pytest.mark.parametrize("objective", [o for o in ALL if type(o).__name__ in WORTH], ids=lambda o: type(o).__name__)
def test_values_in_double_precision(objective):
    critic, generator = WORTH[type(objective).__name__]
    assert objective.critic(REAL, FAKE).item() == pytest.approx(critic, abs=1e-12)
    assert objective.generator(FAKE).item() == pytest.approx(generator, abs=1e-12)


def test_least_squares_pays_for_errors_and_so_has_a_lower_bound():
    """With a minus before the first term, as one lecture prints it, far outputs would be rewarded."""
    far = torch.full((2,), 100.0)
    assert LeastSquares().critic(far, far) > 0 < LeastSquares().generator(far)
    assert LeastSquares().critic(torch.ones(2), torch.zeros(2)) == LeastSquares().generator(torch.ones(2)) == 0


@pytest.mark.parametrize("objective", ALL, ids=lambda o: type(o).__name__)
def test_what_is_real_is_called_high_and_the_generator_wants_that_too(objective):
    real, fake = (torch.rand(5).requires_grad_() for _ in range(2))
    up, down = torch.autograd.grad(objective.critic(real, fake), (real, fake))
    assert (up < 0).all()  # descending it lifts the real ones
    assert (down > 0).all()
    (mine,) = torch.autograd.grad(objective.generator(fake), fake)
    assert (mine < 0).all()


def test_cross_entropy_by_another_route():
    ones, zeros = torch.ones(3).double(), torch.zeros(3).double()
    real, fake = F.binary_cross_entropy_with_logits(REAL, ones), F.binary_cross_entropy_with_logits(FAKE, zeros)
    assert torch.allclose(Nonsaturating().critic(REAL, FAKE), real + fake)
    assert torch.allclose(Nonsaturating().generator(FAKE), F.binary_cross_entropy_with_logits(FAKE, ones))
    soft = F.binary_cross_entropy_with_logits(REAL, 0.9 * ones)
    for objective in (Minimax(smoothing=0.1), Nonsaturating(smoothing=0.1)):
        assert torch.allclose(objective.critic(REAL, FAKE), soft + fake)
        assert torch.equal(objective.generator(FAKE), type(objective)().generator(FAKE))  # one-sided


def test_a_winning_critic_leaves_only_the_saturating_generator_without_gradient():
    lost = torch.full((1,), -20.0, requires_grad=True)
    slopes = [torch.autograd.grad(o.generator(lost), lost)[0].abs().item() for o in (Minimax(), Nonsaturating())]
    assert slopes[0] < 1e-8
    assert slopes[1] == pytest.approx(1)


def test_large_outputs_stay_finite():
    huge = torch.tensor([1e4, -1e4])
    for objective in ALL:
        assert objective.critic(huge, huge).isfinite()
        assert objective.generator(huge).isfinite()
