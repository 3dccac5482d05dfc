"""PSNR and SSIM: identity, constants, closed forms, and what must be better than what."""

import math

import pytest
import torch

from dlcli.corruptions import Coarse, Gaussian
from dlcli.data.photographs import Photographs
from dlcli.metrics import pooled_psnr, psnr, ssim


def photographs():
    return Photographs().load(None).test.x.float() / 255


def test_identity_and_a_constant_shift():
    x = photographs()[:8]
    assert torch.equal(psnr(x, x), torch.full((8,), 100.0))
    torch.testing.assert_close(ssim(x, x), torch.ones(8))
    torch.testing.assert_close(psnr(x + 0.1, x), torch.full((8,), 20.0), atol=1e-3, rtol=0)


def test_pooled_psnr_is_that_of_the_mean_squared_error():
    x, y = torch.rand(6, 3, 9, 9), torch.rand(6, 3, 9, 9)
    y[0] = x[0]  # 100 dB, which a mean of decibels would count six times too much
    expected = -10 * (x - y).square().mean().log10()
    torch.testing.assert_close(pooled_psnr(psnr(x, y)).float(), expected, atol=1e-3, rtol=0)


def test_ssim_of_two_flat_pictures_is_a_closed_form():
    a, b, light = 0.3, 0.8, 1e-4
    expected = (2 * a * b + light) / (a * a + b * b + light)
    found = ssim(torch.full((1, 3, 20, 20), a), torch.full((1, 3, 20, 20), b))
    assert found.item() == pytest.approx(expected, rel=1e-4)


def test_ssim_by_its_definition_window_by_window():
    x, y = torch.rand(1, 1, 12, 13, dtype=torch.double), torch.rand(1, 1, 12, 13, dtype=torch.double)
    bell = torch.tensor([math.exp(-((i - 5) ** 2) / (2 * 1.5**2)) for i in range(11)], dtype=torch.double)
    w = torch.outer(bell, bell) / bell.sum() ** 2
    values = []
    for top in range(2):
        for left in range(3):
            p, q = (z[0, 0, top : top + 11, left : left + 11] for z in (x, y))
            mp, mq = (w * p).sum(), (w * q).sum()
            vp, vq = (w * (p - mp) ** 2).sum(), (w * (q - mq) ** 2).sum()
            cov = (w * (p - mp) * (q - mq)).sum()
            values.append((2 * mp * mq + 1e-4) * (2 * cov + 9e-4) / ((mp**2 + mq**2 + 1e-4) * (vp + vq + 9e-4)))
    assert ssim(x, y).item() == pytest.approx(torch.stack(values).mean().item(), abs=1e-5)


@pytest.mark.parametrize("measure", [psnr, ssim])
def test_worse_pictures_get_lower_numbers(measure):
    x = photographs()
    for good, bad in ((Gaussian(std=0.05), Gaussian(std=0.2)), (Coarse(factor=2), Coarse(factor=4))):
        better, worse = measure(good(x), x), measure(bad(x), x)
        assert (better > worse).float().mean() > 0.9
        assert better.mean() < (100 if measure is psnr else 1)


def test_small_pictures_get_a_smaller_window():
    x = torch.rand(4, 1, 6, 20)
    torch.testing.assert_close(ssim(x, x), torch.ones(4))
