"""The verifier: what it lets pass and what it must not."""

import pytest
import torch

from dlcli.attacks.verify import verify
from dlcli.errors import DlError

X = torch.rand(6, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 0.6 + 0.2


def moved(example: int, pixel: int, value: float) -> torch.Tensor:
    y = X.clone()
    y[example].view(-1)[pixel] = value
    return y


def test_states_the_distances():
    y = X.clone()
    y[0] += 0.1
    y[1, 0, 0, 0] -= 0.05
    linf, l2 = verify(X, y, eps=0.1, norm="linf"), verify(X, y, eps=0.7, norm="l2")
    assert linf.examples == 6
    assert linf.changed == 2
    assert linf.largest == pytest.approx(0.1, abs=1e-7)
    assert linf.mean == pytest.approx(0.15 / 6, abs=1e-7)
    assert l2.largest == pytest.approx(0.1 * 48**0.5, abs=1e-6)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_allows_a_millionth_and_no_more(norm):
    x = torch.full((2, 1, 2, 2), 0.5, dtype=torch.float64)
    for excess, passes in ((0.9e-6, True), (1.1e-6, False)):
        y = x.clone()
        y[1, 0, 0, 0] += 0.1 + excess
        if passes:
            verify(x, y, eps=0.1, norm=norm)
        else:
            with pytest.raises(DlError, match=rf"example 1: {norm} distance 0\.1000011 must be at most eps=0\.1"):
                verify(x, y, eps=0.1, norm=norm)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (moved(4, 7, 1.0 + 1e-7), "example 4: adversarial pixel 1.00000012 must lie in \\[0, 1\\] \\(1 such\\)"),
        (moved(2, 0, -(2.0**-30)), "example 2: adversarial pixel -9.31322575e-10 must lie in"),
        (moved(3, 5, float("nan")), "example 3: adversarial pixel nan must be finite"),
        (moved(3, 5, float("inf")), "example 3: adversarial pixel inf must be finite"),
        (X[:5], "shape \\(5, 3, 4, 4\\) for pictures \\(6, 3, 4, 4\\): they must agree"),
        (X.flip(0), "linf distance .* must be at most eps=0.3 .* discard its results"),
    ],
)
def test_refuses_a_violation_and_names_the_example(y, message):
    with pytest.raises(DlError, match=message):
        verify(X, y, eps=0.3, norm="linf")


def test_refuses_pictures_that_were_normalized():
    with pytest.raises(DlError, match=r"clean pixel .* must lie in"):
        verify((X - 0.5) / 0.2, X, eps=10, norm="linf")


def test_eight_bit_files_exceed_a_size_that_is_no_multiple_of_1_255():
    x = (X * 255).round() / 255
    y = ((x + 0.031) * 255).round() / 255
    with pytest.raises(DlError, match=r"linf distance 0\.0313"):
        verify(x, y, eps=0.031, norm="linf")
    verify(x, y, eps=8 / 255, norm="linf")
